"""Prepared cells on disk: sorted by condition, read by condition, without loading the rest.

A store is a folder: `cells.h5ad` (anndata reads it), `store.json` (what it is, and digests) and, where the data set brings
them, `annotation.json` and `expectation.h5ad`. Values are checked block by block whenever they are read, everything else when
the store is opened. On disk cells are sorted by context, arm, perturbation,
dose and batch; to whoever reads they keep the order in which the reader gave them, so that splits and digests do not
depend on how they are stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import read_elem

from benchmarks.data.download import sha256_of
from benchmarks.data.schema import OBS_COLUMNS, TEXT_COLUMNS
from benchmarks.data.store.content_hash import ContentHash
from benchmarks.data.store.sparse_rows import DiskRows, FlatArray, spans
from benchmarks.errors import DataError

FORMAT, VERSION = "cycseq-cells", 2
CELLS, ABOUT = "cells.h5ad", "store.json"
SORTED_BY = ("context", "arm", "perturbation", "dose", "batch")
"""Order of the cells on disk."""
BLOCK_BYTES = 64 << 20
"""Values and indices read at a time where all cells are read."""
CACHED_BYTES = 2 << 20
"""The same where they are checked and moved to their place: what fits into the cache of a core is read from memory once."""


class CellStore:
    """Prepared cells; `CellStore.open(folder)` opens them, which reads no cell. It is a `cell_table.CellTable`."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder = folder
        self.dataset: str = about["dataset"]
        self.space: str = about["space"]
        self.digest: str = about["digest"]
        """sha256 of cells, labels and gene names, in the reader's order."""
        self.files: dict[str, str] = about["files"]
        """Upstream file name → sha256 of what was read."""
        _check(folder, about)
        with h5py.File(folder / CELLS) as file:
            self.var_names = pd.Index(file["var"][file["var"].attrs["_index"]].asstr()[:], dtype=object)
            self.conditions: pd.DataFrame = read_elem(file["uns/conditions"])
            """One row a condition: the columns of `SORTED_BY`, and `start`, `stop`: its rows on disk."""
            self._position: np.ndarray = file["obs/position"][:]
            ends = file["X/indptr"][:]
            sums = file["uns/checksums"][:]
        values, indices = (
            FlatArray(folder / CELLS, t, at) for t, (at, _) in zip(("<f4", "<i4"), about["arrays"], strict=True)
        )
        self._disk = DiskRows(values, indices, ends, len(self.var_names), sums)
        self.n_obs, self.n_vars = len(self._position), len(self.var_names)
        self.n_bytes = 8 * int(ends[-1])
        """Bytes that all values and gene indices take in memory."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a store; raises `DataError` if there is none, it is damaged, or another version made it."""
        try:
            return cls(folder, read_about(folder))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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

    @property
    def X(self) -> _Values:  # noqa: N802 - AnnData's name
        """Values of all cells, read by position in `obs`."""
        return _Values(self)

    def values(self, rows: np.ndarray) -> sp.csr_matrix:
        """Read the values of some cells [cell, gene], in the order asked for; `rows` are positions in `obs`."""
        return self._disk.read(self._rank[rows])

    def stream(self, rows: np.ndarray, n_bytes: int = BLOCK_BYTES) -> Iterator[tuple[np.ndarray, sp.csr_matrix]]:
        """Read some cells, about `n_bytes` at a time, in the order on disk: their positions in `obs`, and their values."""
        ranks = np.sort(self._rank[rows])
        lengths = np.diff(self._disk.ends)[ranks]
        for first, last in spans(np.concatenate([[0], np.cumsum(lengths)]), n_bytes):
            yield self._position[ranks[first:last]], self._disk.read(ranks[first:last])

    def read(self, rows: np.ndarray) -> AnnData:
        """Read some cells, in the order asked for; `rows` are positions in `obs`, each once."""
        return self._cells(self.values(rows), self.obs.iloc[rows])

    def blocks(self, n_bytes: int = BLOCK_BYTES) -> Iterator[AnnData]:
        """Read all cells, about `n_bytes` at a time, in the order on disk; `obs["position"]` is each one's place in `obs`."""
        for first, last in self._disk.ranges(n_bytes):
            obs = self._stored_obs.iloc[first:last].assign(position=self._position[first:last])
            yield self._cells(self._disk.read_range(first, last), obs)

    def to_memory(self) -> AnnData:
        """Read all cells, in the reader's order."""
        lengths = np.diff(self._disk.ends)[self._rank]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        data, indices = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.int32)
        for first, last in self._disk.ranges(CACHED_BYTES):
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


class _Values:
    """Values of a store, read by position."""

    def __init__(self, store: CellStore) -> None:
        self.store, self.shape = store, (store.n_obs, store.n_vars)

    def __getitem__(self, rows: np.ndarray) -> sp.csr_matrix:
        """Read some cells [cell, gene], in the order asked for."""
        return self.store.values(rows)


def write_about(folder: Path, about: Mapping[str, Any], *parts: str) -> None:
    """Write `store.json`, with the digests of all that is not checked block by block; `parts` are further files of the store."""
    with h5py.File(folder / CELLS) as file:
        flat = (file["X/data"], file["X/indices"])
        arrays = [[array.id.get_offset() or 0, array.id.get_storage_size()] for array in flat]
    content = {**about, "arrays": arrays, "rest": _hash_rest(folder / CELLS, arrays)}
    content["parts"] = {name: sha256_of(folder / name) for name in parts}
    (folder / ABOUT).write_text(json.dumps({**content, "check": _key(content)}, indent=1), encoding="utf-8")


def read_about(folder: Path) -> dict[str, Any]:
    """Read `store.json`; raises `DataError` if another version made it, or it is not as it was written."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    if (about["format"], about["version"]) != (FORMAT, VERSION):
        raise DataError(
            f"{folder} has format {about['format']} {about['version']}; this release reads {FORMAT} {VERSION}. "
            "Delete the folder and prepare the data again."
        )
    if about.pop("check") != _key(about):
        raise ValueError(f"{ABOUT} is not as it was written")
    return about


def _check(folder: Path, about: Mapping[str, Any]) -> None:
    """Raise `ValueError` if anything but the values of the cells, which are checked when they are read, has changed."""
    found = {name: sha256_of(folder / name) for name in about["parts"]}
    changed = [name for name, digest in about["parts"].items() if found[name] != digest]
    if _hash_rest(folder / CELLS, about["arrays"]) != about["rest"]:
        changed.append(CELLS)
    if changed:
        raise ValueError(f"{', '.join(changed)} is not as it was written")


def _hash_rest(path: Path, arrays: Iterable[Sequence[int]]) -> str:
    """Hash all of a file but its `arrays`, of which each has a first byte and a number of bytes."""
    hasher, position = hashlib.sha256(), 0
    with path.open("rb") as file:
        for start, n_bytes in [*sorted((s, n) for s, n in arrays if n), (path.stat().st_size, 0)]:
            file.seek(position)
            while position < start and (piece := file.read(min(BLOCK_BYTES, start - position))):
                hasher.update(piece)
                position += len(piece)
            position = start + n_bytes
    return hasher.hexdigest()


def _key(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
