"""The content hash of cells, computed from cells in memory or while they stream by."""

from __future__ import annotations

import hashlib
from typing import Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data.schema import OBS_COLUMNS

AT_ONCE = 1 << 22
"""Numbers converted and hashed at a time."""


class ContentHash:
    """sha256 of cells in the data set's order: all values, then all gene indices, then row ends, labels and names."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()

    def values(self, data: np.ndarray) -> Self:
        """Take the stored values of the next cells."""
        return self._take(data, np.float32)

    def indices(self, indices: np.ndarray) -> Self:
        """Take the gene indices of the next cells; after the values of all."""
        return self._take(indices, np.int64)

    def finish(self, ends: np.ndarray, obs: pd.DataFrame, genes: pd.Index) -> str:
        """Take where each cell's values end (CSR `indptr`), the labels and the names; return the hex digest."""
        self._take(ends, np.int64)
        for names in (obs.index, genes, *(obs[c] for c in sorted(OBS_COLUMNS))):
            self._hasher.update("\x1f".join(map(str, names)).encode())
            self._hasher.update(b"\x1e")
        return self._hasher.hexdigest()

    def _take(self, numbers: np.ndarray, kind: type[np.generic]) -> Self:
        for start in range(0, len(numbers), AT_ONCE):
            self._hasher.update(np.ascontiguousarray(numbers[start : start + AT_ONCE], dtype=kind).data)
        return self


def digest(cells: AnnData) -> str:
    """Hash the content of canonical cells: values, labels, names; not the order of columns or any extra field."""
    x = sp.csr_matrix(cells.X)
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    return ContentHash().values(x.data).indices(x.indices).finish(x.indptr, cells.obs, cells.var_names)
