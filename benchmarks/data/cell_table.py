"""Tables of cells: labels in memory, values read when they are asked for.

A table is an `AnnData` in memory, a prepared data set on disk (`store.cell_store.CellStore`), a file from outside
(`scoring.external.CellFile`), or a `View` of one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

Index = np.ndarray
CELLS_PER_BLOCK = 4096
"""Cells of a table in memory, or of a file from outside, that are read at a time."""
HELD_BYTES = 256 << 20
"""Values and gene indices up to which a table is read into memory, since it is read many times."""


class CellTable(Protocol):
    """What selection, splits, training and scoring know of cells."""

    @property
    def X(self) -> Any:  # noqa: N802 - AnnData's name
        """Values: `X[positions]` reads some cells [cell, gene], sparse or dense; positions ascend."""

    @property
    def obs(self) -> pd.DataFrame:
        """Labels, one row a cell."""

    @property
    def var_names(self) -> pd.Index:
        """Gene names."""


@dataclass(frozen=True)
class View:
    """Some cells and genes of another table, with labels of their own, and values that are changed when they are read."""

    base: Any
    """The other `CellTable`."""
    obs: pd.DataFrame
    rows: Index
    """Position in `base` of each cell, each once."""
    columns: Index | None = None
    """Columns of `base` that are kept, in order; None: all."""
    change: Callable[[sp.csr_matrix, Index], sp.csr_matrix] | None = None
    """(values of some cells with all genes of `base`, their positions in this table) → changed values; may work in place."""

    @cached_property
    def var_names(self) -> pd.Index:
        """Gene names."""
        return self.base.var_names if self.columns is None else self.base.var_names[self.columns]

    @property
    def obs_names(self) -> pd.Index:
        """Cell names."""
        return self.obs.index

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.rows)

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return len(self.var_names)

    @property
    def n_bytes(self) -> int:
        """Most bytes that all values and gene indices take in memory, about."""
        return size_of(self.base) * self.n_obs // max(1, len(self.base.obs))

    @property
    def X(self) -> _Values:  # noqa: N802 - AnnData's name
        """Values, read by position."""
        return _Values(self)

    def stream(self, positions: Index) -> Iterator[tuple[Index, sp.csr_matrix]]:
        """Read cells some at a time, as `blocks` does."""
        here = np.full(len(self.base.obs), -1)
        here[self.rows] = np.arange(self.n_obs)
        for rows, x in blocks(self.base, np.sort(self.rows[positions])):
            yield here[rows], self.changed(x, here[rows])

    def changed(self, x: sp.csr_matrix, positions: Index) -> sp.csr_matrix:
        """Turn values of `base` into this table's."""
        if self.change is not None:
            x = self.change(x, positions)
        return x if self.columns is None else x[:, self.columns]


@dataclass(frozen=True)
class _Values:
    """Values of a view."""

    view: View

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return self.view.n_obs, self.view.n_vars

    def __getitem__(self, positions: Index) -> sp.csr_matrix:
        """Read some cells [cell, gene], in the order asked for."""
        positions = np.asarray(positions, dtype=np.int64)
        rows = self.view.rows[positions]
        order = np.argsort(rows, kind="stable")
        # a copy where the values may be changed in place and the base holds them in memory
        x = sp.csr_matrix(self.view.base.X[rows[order]], copy=self.view.change is not None)
        x = self.view.changed(x, positions[order])
        return x if (np.diff(order) == 1).all() else x[np.argsort(order)]


def select(cells: CellTable, kept: Index) -> View:
    """Select cells by a mask or by positions, which ascend."""
    rows = np.flatnonzero(kept) if kept.dtype == bool else kept
    return View(cells, cells.obs.iloc[rows], rows)


def blocks(cells: CellTable, positions: Index) -> Iterator[tuple[Index, sp.csr_matrix]]:
    """Read cells some at a time, in the order that is quickest to read.

    Parameters
    ----------
    positions
        Positions of cells in the table, ascending, each once.

    Yields
    ------
    ndarray, csr_matrix
        Positions of some of the cells, and their values [cell, gene], which may be changed in place.
    """
    stream = getattr(cells, "stream", None)
    if stream is not None:
        yield from stream(positions)
        return
    for first in range(0, len(positions), CELLS_PER_BLOCK):
        rows = positions[first : first + CELLS_PER_BLOCK]
        yield rows, sp.csr_matrix(cells.X[rows], copy=True)


def read(cells: CellTable, positions: Index | None = None) -> AnnData:
    """Read some cells into memory, or all, in the order asked for: a CSR matrix, and labels that are text or numbers."""
    positions = np.arange(len(cells.obs)) if positions is None else np.asarray(positions)
    order = np.argsort(positions, kind="stable")
    x = sp.csr_matrix(cells.X[positions[order]], copy=True)
    if not (np.diff(order) == 1).all():
        x = x[np.argsort(order)]
    obs = cells.obs.iloc[positions]
    obs = obs.astype({c: str for c in obs if not pd.api.types.is_numeric_dtype(obs[c])})
    return AnnData(X=x, obs=obs, var=pd.DataFrame(index=cells.var_names))


def size_of(cells: CellTable) -> int:
    """Return the bytes that all values and gene indices take in memory, about."""
    found = getattr(cells, "n_bytes", None)
    return int(found) if found is not None else 8 * sp.csr_matrix(cells.X).nnz


def held(cells: CellTable) -> Any:
    """Read a small table into memory; a large one stays where it is."""
    return read(cells) if size_of(cells) <= HELD_BYTES else cells
