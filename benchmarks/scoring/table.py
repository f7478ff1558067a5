"""Cells as scoring needs them: a table that gives rows by position, from memory or from disk."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp

Cells: TypeAlias = Any
"""Single cells [cell, gene] of one condition, in the run's space: NumPy array or SciPy CSR matrix."""


class CellTable(Protocol):
    """Cells in the run's space, in memory (AnnData) or on disk: rows are taken from `X` by position."""

    @property
    def X(self) -> Any:  # noqa: D102, N802
        ...

    @property
    def obs(self) -> pd.DataFrame:  # noqa: D102
        ...

    @property
    def var_names(self) -> pd.Index:  # noqa: D102
        ...


def take(cells: CellTable, positions: np.ndarray) -> Cells:
    """Read the rows of some cells, sparse as CSR, else dense; positions ascend, as files on disk want them."""
    rows = cells.X[positions]
    return sp.csr_matrix(rows) if sp.issparse(rows) else np.asarray(rows)


def mean_profile(cells: Cells) -> np.ndarray:
    """Mean over cells [gene], in float64."""
    return np.asarray(cells.astype(np.float64).mean(axis=0)).ravel()
