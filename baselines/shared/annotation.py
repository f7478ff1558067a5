"""Sets of words, such as the annotation of genes, as sparse matrices."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import scipy.sparse as sp


def marked(columns: Sequence[Sequence[int]], n_columns: int) -> sp.csr_matrix:
    """Make a matrix with 1 in the given columns of each row, integers."""
    ends, column = np.cumsum([0, *map(len, columns)]), np.array([c for own in columns for c in own], dtype=np.int32)
    return sp.csr_matrix((np.ones_like(column), column, ends), shape=(len(columns), n_columns))


def term_matrix(names: Collection[str], terms: Mapping[str, Collection[str]]) -> tuple[list[str], sp.csr_matrix]:
    """List the terms of all names, sorted, and mark each name's own [name, term]."""
    number = {term: column for column, term in enumerate(sorted({term for name in set(names) for term in terms[name]}))}
    return list(number), marked([sorted(number[term] for term in terms[name]) for name in names], len(number))
