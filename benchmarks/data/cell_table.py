"""Tables of cells: labels in memory, values read when they are asked for.

A table is an `AnnData` in memory, a data set on disk (`store.stored_cells.StoredCells`) or a file from outside
(`scoring.external.CellFile`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

CELLS_PER_BLOCK = 4096
"""Cells of a table without blocks of its own that are read at a time."""


class Rows(Protocol):
    """Values of cells."""

    def __getitem__(self, positions: Any) -> Any:
        """Read the values of some cells [cell, gene], sparse or dense; positions ascend."""


class CellTable(Protocol):
    """What selection, splits, training and scoring know of cells."""

    @property
    def obs(self) -> pd.DataFrame:
        """Labels, one row a cell."""

    @property
    def var_names(self) -> pd.Index:
        """Gene names."""

    @property
    def X(self) -> Any:
        """`Rows`: values, float32, in the table's space."""


def blocks(cells: CellTable, positions: np.ndarray) -> Iterator[tuple[np.ndarray, sp.csr_matrix]]:
    """Read cells some at a time, in the order that is quickest to read.

    Parameters
    ----------
    positions
        Positions of cells in the table, ascending, each once.

    Yields
    ------
    ndarray, csr_matrix
        Positions of some of the cells, and their values [cell, gene].
    """
    own = getattr(cells, "blocks", None)
    if own is not None:
        yield from own(positions)
        return
    for first in range(0, len(positions), CELLS_PER_BLOCK):
        rows = positions[first : first + CELLS_PER_BLOCK]
        yield rows, sp.csr_matrix(cells.X[rows])


def read(cells: CellTable, positions: np.ndarray) -> AnnData:
    """Read some cells into memory, in the order asked for; all text labels are strings, and no other field is kept."""
    order = np.argsort(positions, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    x = sp.csr_matrix(cells.X[positions[order]], copy=True)[back]
    obs = cells.obs.iloc[positions]
    obs = obs.astype({c: str for c in obs if not pd.api.types.is_numeric_dtype(obs[c])})
    return AnnData(X=x, obs=obs, var=pd.DataFrame(index=cells.var_names))
