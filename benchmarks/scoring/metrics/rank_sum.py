"""Wilcoxon's rank-sum test of every gene, from cells that are sorted once and compared many times.

A set of cells is sorted gene by gene, non-zero values only. Two sorted sets are then compared without sorting again: each
distinct value of the smaller one is looked up in the larger, from where the last one was found on: stretch by stretch where the
sides are alike in size, and by strides that double where one is far larger.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from benchmarks.scoring.metrics.metric import Array
from benchmarks.scoring.metrics.profile import FLAT

Cells: TypeAlias = Any
"""Cells [cell, gene]: a dense array, or SciPy's CSR or CSC, matrix or array."""
BLOCK = 1 << 20
"""Values that are sorted at a time."""


class SortedCells(NamedTuple):
    """A set of cells with every gene's non-zero values in ascending order; made by `sort_cells`.

    Zeros are not stored: they stand between the negative and the positive values of their gene.
    """

    values: Float[Array, "value"]
    """Non-zero values of gene 0, then of gene 1, and so on: float32 or float64, as they came."""
    starts: Int[Array, "gene_plus_one"]
    """Position in `values` of each gene's first value; the last entry is their number."""
    negatives: Int[Array, "gene"]
    """Number of negative values of each gene."""
    ties: Float[Array, "gene"]
    """Σ (t³ − t) over each gene's groups of t equal values, zeros included."""
    n_cells: int


def sort_cells(matrix: Cells) -> SortedCells:
    """Sort every gene's non-zero values; sparse input is never made dense by more than a block, and no input is changed.

    Values of at most 1e-6 in size count as zeros, so that rounding is not ranked: models that add and subtract turn zeros into
    such values. Types other than float32 become float64. There is one cell or more. Raises ValueError for a value that is NaN or infinite.
    """
    from scipy.sparse import issparse

    from benchmarks.scoring.metrics.compiled import describe

    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float64, copy=False)
    if issparse(matrix) and matrix.shape[0] * matrix.shape[1] <= BLOCK:
        matrix = matrix.toarray()  # no larger than what is sorted at a time, and quicker
    values, starts = _sort_sparse(matrix) if issparse(matrix) else _sort_dense(np.asarray(matrix))
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"sort_cells got {bad} NaN or infinite values; ranks need finite ones.")
    negatives, ties = describe(values, starts, matrix.shape[0])
    return SortedCells(values, starts, negatives, ties, matrix.shape[0])


def rank_sum(cells: SortedCells, reference: SortedCells) -> Float[Array, "gene"]:
    """Two-sided p value of Wilcoxon's rank-sum (Mann–Whitney) test of every gene.

    Normal approximation with correction for ties and continuity. A gene that is constant over both sides has p = 1.
    Symmetric in its arguments. Holds no interpreter lock while it counts, so conditions can run in threads. Raises ValueError
    where the sides do not have the same number of genes.

    Source: Mann & Whitney 1947, doi:10.1214/aoms/1177730491.
    """
    from scipy.special import ndtr

    from benchmarks.scoring.metrics.compiled import count_wins

    check_genes(cells, reference)
    small, large = sorted((cells, reference), key=lambda side: len(side.values))
    kind = np.result_type(small.values, large.values)  # float32 to float64 is exact and keeps the order
    u, ties = count_wins(*(s._replace(values=s.values.astype(kind, copy=False)) for s in (small, large)))
    n, m = float(small.n_cells), float(large.n_cells)
    total = n + m
    spread = np.sqrt(n * m / 12 * ((total + 1) - ties / (total * (total - 1))))
    shift = np.maximum(u, n * m - u) - n * m / 2 - 0.5
    z = np.divide(shift, spread, out=np.full(len(u), -np.inf), where=spread > 0)
    return np.minimum(2 * ndtr(-z), 1.0)


def check_genes(a: SortedCells, b: SortedCells) -> None:
    """Raise ValueError unless both sets of cells have the same number of genes."""
    n, m = len(a.negatives), len(b.negatives)
    if n != m:
        raise ValueError(f"Two sets of cells have {n} and {m} genes; expected the same genes in both.")


def _sort_dense(matrix: Float[Array, "cell gene"]) -> tuple[Array, Array]:
    """Sort a dense matrix some genes at a time: (values, starts)."""
    n_cells, n_genes = matrix.shape
    step = max(1, BLOCK // n_cells)
    kept, counts = [], []
    for first in range(0, n_genes, step):
        block = np.array(matrix[:, first : first + step].T, order="C")
        block.sort(axis=1)
        sizes = block if block[:, 0].min() >= 0 else np.abs(block)  # most spaces have no negative value
        there = ~(sizes <= FLAT)  # NaN stays, and is refused
        kept.append(block[there])
        counts.append(there.sum(axis=1))
    starts = np.concatenate([[0], *counts]).cumsum()
    return np.concatenate(kept) if kept else np.empty(0, matrix.dtype), starts


def _sort_sparse(matrix: Cells) -> tuple[Array, Array]:
    """Sort a sparse matrix gene by gene: (values, starts)."""
    import scipy.sparse as sp

    columns = sp.csc_matrix(matrix)
    flat = np.abs(columns.data) <= FLAT
    if flat.any() or not columns.has_canonical_format:
        columns = columns.copy()
        columns.sum_duplicates()
        columns.data[np.abs(columns.data) <= FLAT] = 0
        columns.eliminate_zeros()
    values, starts = columns.data.copy(), columns.indptr.astype(np.int64)
    for first, last in pairwise(starts.tolist()):
        values[first:last].sort()
    return values, starts
