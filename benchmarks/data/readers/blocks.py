"""Matrix blocks, labels and gene names → canonical AnnData, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data.readers.gene_columns import GeneMap
from benchmarks.errors import DataError


@dataclass(frozen=True)
class Source:
    """What the blocks of one file become."""

    name: str
    """The file, for messages."""
    obs: pd.DataFrame
    """Canonical obs of the cells in the order of the blocks."""
    genes: GeneMap
    space: str = "counts"
    notes: list[str] = field(default_factory=list)
    """Takes how many cells were left out because they have no counts."""


def canonical_blocks(blocks: Iterable[sp.csr_matrix], source: Source) -> Iterator[AnnData]:
    """Give blocks their labels and genes; cells without any count are left out, and told.

    Parameters
    ----------
    blocks
        CSR float32 [cell, source column], all cells of `source.obs` in order.
    source
        Their labels and genes.

    Raises
    ------
    DataError
        Values that cannot be counts where counts are expected; more or fewer cells than labels; none with counts.
    """
    start, empty = 0, 0
    for x in blocks:
        obs = source.obs.iloc[start : start + x.shape[0]]
        start += x.shape[0]
        if len(obs) != x.shape[0]:
            break
        x = source.genes.apply(x)
        check_values(x, source.name, source.space)
        if source.space == "counts":
            counted = np.asarray(x.sum(axis=1)).ravel() > 0
            empty += int((~counted).sum())
            x, obs = x[counted], obs[counted]
        if x.shape[0]:
            yield AnnData(X=x, obs=obs.copy(), var=pd.DataFrame(index=source.genes.names))
    if start != len(source.obs):
        raise DataError(f"{source.name} has {start} cells and {len(source.obs)} labels; they are not of one data set.")
    if empty == len(source.obs):
        raise DataError(f"{source.name}: not one of {empty} cells has a count. Is this the upstream file?")
    if empty:
        source.notes.append(f"{source.name}: {empty} cells have no count at all and are left out.")


def check_values(x: sp.csr_matrix, source: str, space: str) -> None:
    """Refuse values that are not finite, and fractions or negative values where counts are expected.

    Raises
    ------
    DataError
        With the values found and what they may be.
    """
    values = x.data
    if not values.size:
        return
    if not np.isfinite(values).all():
        raise DataError(
            f"{source} has values that are NaN or infinite; leave out or mend the genes or cells they are in."
        )
    if space == "zscore":
        return
    if values.min() < 0:
        raise DataError(
            f"{source} has negative values (lowest {values.min():.3g}) in space '{space}'; are these z-scores? State "
            "space 'zscore', or give the file of counts."
        )
    if space == "counts" and not np.array_equal(values, np.rint(values)):
        kind = "log-normalised" if values.max() < 20 else "normalised"
        raise DataError(
            f"{source} has fractions, such as {values[values != np.rint(values)][0]:.4g} (largest {values.max():.4g}), "
            f"where whole counts are expected: the values look {kind}. Give the file of raw counts, or state the space "
            "(ln, log2)."
        )
