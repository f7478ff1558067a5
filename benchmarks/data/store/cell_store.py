"""Prepared cells on disk: sorted by condition, read by condition, without loading the rest.

A store is a folder: `cells.h5ad` (anndata reads it), `store.json` (what it is, and the digest of its content) and, where
the data set brings them, `annotation.json` and `expectation.h5ad`. On disk cells are sorted by context, arm, perturbation,
dose and batch; to whoever reads they keep the order in which the reader gave them, so that splits and digests do not
depend on how they are stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import read_elem

from benchmarks.data.schema import OBS_COLUMNS, TEXT_COLUMNS
from benchmarks.data.store.content_hash import ContentHash
from benchmarks.data.store.sparse_rows import DiskRows, FlatArray
from benchmarks.errors import DataError

FORMAT, VERSION = "cycseq-cells", 1
CELLS, ABOUT = "cells.h5ad", "store.json"
SORTED_BY = ("context", "arm", "perturbation", "dose", "batch")
"""Order of the cells on disk."""
BLOCK_BYTES = 64 << 20
"""Values and indices read at a time where all cells are read."""


class CellStore:
    """Prepared cells; `CellStore.open(folder)` opens them, which reads no cell."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder = folder
        self.dataset: str = about["dataset"]
        self.space: str = about["space"]
        self.digest: str = about["digest"]
        """sha256 of cells, labels and gene names, in the reader's order."""
        self.files: dict[str, str] = about["files"]
        """Upstream file name → sha256 of what was read."""
        with h5py.File(folder / CELLS) as file:
            self.var_names = pd.Index(file["var"][file["var"].attrs["_index"]].asstr()[:], dtype=object)
            self.conditions: pd.DataFrame = read_elem(file["uns/conditions"])
            """One row a condition: the columns of `SORTED_BY`, and `start`, `stop`: its rows on disk."""
            self._position: np.ndarray = file["obs/position"][:]
            ends = file["X/indptr"][:]
            starts = [file[f"X/{name}"].id.get_offset() or 0 for name in ("data", "indices")]
        values, indices = (FlatArray(folder / CELLS, t, at) for t, at in zip(("<f4", "<i4"), starts, strict=True))
        self._disk = DiskRows(values, indices, ends, len(self.var_names))
        self.n_obs, self.n_vars = len(self._position), len(self.var_names)
        self.n_bytes = 8 * int(ends[-1])
        """Bytes that all values and gene indices take in memory."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a store; raises `DataError` if there is none, it is damaged, or another version made it."""
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            if (about["format"], about["version"]) != (FORMAT, VERSION):
                raise DataError(
                    f"{folder} has format {about['format']} {about['version']}; this release reads {FORMAT} {VERSION}. "
                    "Delete the folder and prepare the data again."
                )
            return cls(folder, about)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder} is no readable store of cells ({type(error).__name__}: {error}). Delete the folder, if it is "
                "there, and prepare the data again."
            ) from error

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Labels of all cells, in the reader's order."""
        return self._stored_obs.iloc[self._rank]

    def rows(self, **labels: str | float) -> np.ndarray:
        """Find cells by columns of `SORTED_BY`, such as `rows(context="K562", perturbation="MED30", dose=np.nan)`.

        Returns their positions in `obs`, ascending; raises `DataError` if no cell has these labels.
        """
        unknown = sorted(set(labels) - set(SORTED_BY))
        if unknown:
            raise DataError(f"Cells cannot be found by '{unknown[0]}'; expected some of {', '.join(SORTED_BY)}.")
        keep = np.ones(len(self.conditions), dtype=bool)
        for column, value in labels.items():
            keep &= (self.conditions[column].isna() if pd.isna(value) else self.conditions[column] == value).to_numpy()
        if not keep.any():
            raise DataError(f"{self.dataset} has no cell with {', '.join(f'{k} {v}' for k, v in labels.items())}.")
        found = self.conditions.loc[keep, ["start", "stop"]].itertuples(index=False)
        return np.sort(np.concatenate([self._position[start:stop] for start, stop in found]))

    def values(self, rows: np.ndarray) -> sp.csr_matrix:
        """Read the values of some cells [cell, gene], in the order asked for; `rows` are positions in `obs`."""
        return self._disk.read(self._rank[rows])

    def read(self, rows: np.ndarray) -> AnnData:
        """Read some cells, in the order asked for; `rows` are positions in `obs`, each once."""
        return self._cells(self.values(rows), self.obs.iloc[rows])

    def blocks(self, n_bytes: int = BLOCK_BYTES) -> Iterator[AnnData]:
        """Read all cells, about `n_bytes` at a time, in the order on disk; `obs["position"]` is each one's place in `obs`."""
        for first, last in spans(self._disk.ends, n_bytes):
            obs = self._stored_obs.iloc[first:last].assign(position=self._position[first:last])
            yield self._cells(self._disk.read_range(first, last), obs)

    def to_memory(self) -> AnnData:
        """Read all cells, in the reader's order."""
        lengths = np.diff(self._disk.ends)[self._rank]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        data, indices = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.int32)
        for first, last in spans(self._disk.ends, BLOCK_BYTES):
            block = self._disk.read_range(first, last)
            shift = ends[self._position[first:last]] - block.indptr[:-1]
            place = np.repeat(shift, np.diff(block.indptr)) + np.arange(block.nnz)
            data[place], indices[place] = block.data, block.indices
        return self._cells(sp.csr_matrix((data, indices, ends), shape=(self.n_obs, self.n_vars)), self.obs)

    def recompute_digest(self) -> str:
        """Hash what is on disk; another value than `digest` says that the store is damaged."""
        found = ContentHash()
        for rows in self._in_order():
            found.values(self._disk.read(rows).data)
        for rows in self._in_order():
            found.indices(self._disk.read(rows).indices)
        ends = np.concatenate([[0], np.cumsum(np.diff(self._disk.ends)[self._rank])])
        return found.finish(ends, self.obs, self.var_names)

    @cached_property
    def _stored_obs(self) -> pd.DataFrame:
        """Labels as they lie on disk."""
        with h5py.File(self.folder / CELLS) as file:
            obs: pd.DataFrame = read_elem(file["obs"])
        return obs[list(OBS_COLUMNS)].astype(dict.fromkeys(TEXT_COLUMNS, object))

    @cached_property
    def _rank(self) -> np.ndarray:
        """Row on disk of each cell, in the reader's order."""
        rank = np.empty_like(self._position)
        rank[self._position] = np.arange(self.n_obs)
        return rank

    def _cells(self, x: sp.csr_matrix, obs: pd.DataFrame) -> AnnData:
        return AnnData(X=x, obs=obs.copy(), var=pd.DataFrame(index=self.var_names))

    def _in_order(self) -> Iterator[np.ndarray]:
        """Rows on disk in the reader's order, some at a time."""
        per_cell = max(1, self.n_bytes // max(1, self.n_obs))
        step = max(1, BLOCK_BYTES // per_cell)
        return (self._rank[start : start + step] for start in range(0, self.n_obs, step))


def spans(ends: np.ndarray, n_bytes: int) -> Iterator[tuple[int, int]]:
    """Cut rows of a CSR matrix into ranges of about `n_bytes` of values and indices; at least one row each."""
    first, n_rows = 0, len(ends) - 1
    while first < n_rows:
        last = int(np.searchsorted(ends, ends[first] + n_bytes // 8, side="right")) - 1
        last = min(n_rows, max(first + 1, last))
        yield first, last
        first = last
