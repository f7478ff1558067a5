"""From a reader's blocks to a store of cells: checked, hashed, sorted on disk in runs that fit in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import write_elem

from benchmarks.data.schema import OBS_COLUMNS, TEXT_COLUMNS, validate_block, validate_labels
from benchmarks.data.store.atomic_files import Progress, ignore_progress, need_space
from benchmarks.data.store.cell_store import CELLS, FORMAT, SORTED_BY, VERSION, write_about
from benchmarks.data.store.content_hash import ContentHash
from benchmarks.data.store.sparse_rows import DiskRows, FlatArray, block_starts, checksums, spans
from benchmarks.errors import DataError

RUN_BYTES = 256 << 20
"""Values and indices sorted at a time. Cells of a condition lie side by side in each run, so that they are later gathered
in as many reads as there are runs, whatever order they came in."""
PIECES = 4
"""Pieces a run is gathered in: what is sorted at a time is read back in parts."""
NARROW = "<u2"
"""How counts are kept until all cells are read."""
LABEL_BYTES = 200
"""Labels and name of one cell on disk, about."""


def write_cells(
    folder: Path,
    blocks: Iterable[AnnData],
    *,
    dataset: str,
    space: str,
    files: Mapping[str, str] | None = None,
    report: Progress = ignore_progress,
    run_bytes: int = RUN_BYTES,
) -> None:
    """Write cells to an empty folder; `CellStore.open` opens it then.

    Every block is read once and let go. Beside the labels, about three times `run_bytes` and one block are in memory.

    Parameters
    ----------
    blocks
        Cells in canonical form (see `benchmarks.data.schema.Reading`).
    files
        Upstream file name → sha256 of what is read.
    run_bytes
        Bytes of values and indices sorted at a time.

    Raises
    ------
    DataError
        Cells that are not in canonical form, or none.
    StoreError, OSError
        Not enough room on the disk, or it refuses.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary, closing(Spool(Path(temporary), run_bytes)) as spool:
        n_cells = 0
        for block in blocks:
            validate_block(block, dataset, space)
            spool.add(block)
            n_cells += block.n_obs
            report(f"{n_cells:,} cells read")
        if not n_cells:
            raise DataError(f"{dataset}: the reader gave no cells.")
        rows, written, obs = spool.finish()
        validate_labels(obs, dataset)
        digest = _finish_hash(spool, rows, written, obs)
        report("content hashed")
        need_space(folder, 8 * int(rows.ends[-1]) + LABEL_BYTES * len(obs), f"The store of {dataset}")
        _write_h5ad(folder / CELLS, (rows, written), obs, spool, report)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset,
        "space": space,
        "digest": digest,
        "cells": len(obs),
        "genes": rows.n_columns,
        "values": int(rows.ends[-1]),
        "files": dict(files or {}),
    }
    write_about(folder, about)


class Spool:
    """Temporary files of cells: blocks in the reader's order become runs, each sorted by condition; values are hashed.

    Counts below 65,536 are kept in 2 bytes, and gene indices too where there are no more genes than that: half of the store's size.
    """

    def __init__(self, folder: Path, run_bytes: int) -> None:
        self.run_bytes = run_bytes
        self.genes = pd.Index([])
        self.content = ContentHash()
        self._paths = folder / "values", folder / "indices"
        self._files = [path.open("wb") for path in self._paths]
        self._kind = NARROW
        self._waiting: list[tuple[sp.csr_matrix, pd.DataFrame]] = []
        self._waiting_bytes = 0
        self._obs: list[pd.DataFrame] = []
        self._written: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._n_cells = 0

    def add(self, block: AnnData) -> None:
        """Take the next cells; raises `DataError` for other genes than before, `StoreError` where there is no room."""
        if not self._obs:
            self.genes = block.var_names.astype(str)
        if not block.var_names.astype(str).equals(self.genes):
            raise DataError("Blocks of cells have different genes; a reader gives the same genes in the same order.")
        x = sp.csr_matrix(block.X, dtype=np.float32, copy=True)
        x.sum_duplicates()  # sorts the indices too
        obs = block.obs[list(OBS_COLUMNS)].astype({**dict.fromkeys(TEXT_COLUMNS, str), "dose": np.float64})
        obs.index = block.obs_names.astype(str)
        self.content.values(x.data)
        self._obs.append(obs)
        for first, last in spans(x.indptr, self.run_bytes):
            self._waiting.append((x[first:last] if last - first < x.shape[0] else x, obs.iloc[first:last]))
            self._waiting_bytes += 8 * int(x.indptr[last] - x.indptr[first])
            if self._waiting_bytes >= self.run_bytes:
                self._write_run()

    def finish(self) -> tuple[DiskRows, np.ndarray, pd.DataFrame]:
        """Write what waits, and end: the spooled values, the row there of each cell, and its labels, in the reader's order."""
        if self._waiting:
            self._write_run()
        self.close()
        ends = np.concatenate([[0], *self._lengths]).cumsum()
        written = np.empty(self._n_cells, dtype=np.int64)
        written[np.concatenate(self._written)] = np.arange(self._n_cells)
        values, indices = FlatArray(self._paths[0], self._kind), FlatArray(self._paths[1], self._index_kind)
        return DiskRows(values, indices, ends, len(self.genes)), written, pd.concat(self._obs)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _write_run(self) -> None:
        matrices, frames = zip(*self._waiting, strict=True)
        x, obs = sp.vstack(matrices, format="csr"), pd.concat(frames)
        need_space(self._paths[0].parent, 8 * x.nnz, "Preparing these cells")
        order = _sort_order(obs)
        x = x[order]
        if self._kind == NARROW and not _is_narrow(x.data):
            self._widen()
        numbers = x.data.astype(self._kind, copy=False), x.indices.astype(self._index_kind, copy=False)
        for file, part in zip(self._files, numbers, strict=True):
            file.write(np.ascontiguousarray(part).data)
        self._lengths.append(np.diff(x.indptr).astype(np.int64))
        self._written.append(self._n_cells + order)
        self._n_cells += len(order)
        self._waiting, self._waiting_bytes = [], 0

    @property
    def _index_kind(self) -> str:
        return NARROW if len(self.genes) <= 1 << 16 else "<i4"

    def _widen(self) -> None:
        """Write the values so far as float32, and go on so."""
        self._files[0].close()
        path, self._kind = self._paths[0], "<f4"
        wide = path.with_suffix(".wide")
        with path.open("rb") as given, wide.open("wb") as taken:
            while some := given.read(self.run_bytes // PIECES * 2 or 2):
                taken.write(np.frombuffer(some, NARROW).astype(self._kind).data)
        wide.replace(path)
        self._files[0] = path.open("ab")


def _is_narrow(values: np.ndarray) -> bool:
    """Say whether 2 bytes keep every bit of float32 values: whole numbers from 0 to 65,535."""
    with np.errstate(invalid="ignore"):
        again = values.astype(NARROW).astype(np.float32)
    return bool(np.array_equal(again.view(np.uint32), values.view(np.uint32)))


def _finish_hash(spool: Spool, rows: DiskRows, written: np.ndarray, obs: pd.DataFrame) -> str:
    """Hash gene indices and labels in the reader's order; the values were hashed when they came."""
    lengths = np.diff(rows.ends)[written]
    for places in _pieces(written, lengths, spool.run_bytes // PIECES):
        spool.content.indices(rows.read(places).indices)
    return spool.content.finish(np.concatenate([[0], np.cumsum(lengths)]), obs, spool.genes)


def _write_h5ad(
    path: Path, spooled: tuple[DiskRows, np.ndarray], obs: pd.DataFrame, spool: Spool, report: Progress
) -> None:
    rows, written = spooled
    order = _sort_order(obs)
    lengths = np.diff(rows.ends)[written[order]]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    stored = obs.iloc[order].assign(position=order)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", stored.astype(dict.fromkeys(TEXT_COLUMNS, "category")))
        write_elem(file, "var", pd.DataFrame(index=spool.genes))
        group = file.create_group("X")
        group.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (len(obs), rows.n_columns)}
        )
        group["indptr"] = ends
        data = group.create_dataset("data", (ends[-1],), "<f4", fill_time="never")
        indices = group.create_dataset("indices", (ends[-1],), "<i4", fill_time="never")
        blocks, sums = block_starts(ends), []
        for low, high in spans(ends[blocks], spool.run_bytes // PIECES):
            first, last = blocks[low], blocks[high]
            x = rows.read(written[order[first:last]])
            sums.append(checksums(x, blocks[low : high + 1] - first))
            data[ends[first] : ends[last]], indices[ends[first] : ends[last]] = x.data, x.indices
            report(f"{last:,} of {len(obs):,} cells written")
        write_elem(file, "uns", {"conditions": _conditions(stored), "checksums": np.concatenate(sums)})


def _sort_order(obs: pd.DataFrame) -> np.ndarray:
    """Order cells by `SORTED_BY`, missing doses last; ties keep their order."""
    codes = [pd.factorize(obs[column], sort=True)[0].astype(np.int64) for column in SORTED_BY]
    return np.lexsort([np.where(column < 0, len(obs), column) for column in reversed(codes)])


def _pieces(places: np.ndarray, lengths: np.ndarray, n_bytes: int) -> Iterator[np.ndarray]:
    """Cut a sequence of rows into pieces of about `n_bytes` of values and indices."""
    piece = np.cumsum(lengths) * 8 // max(8, n_bytes)
    return iter(np.split(places, np.flatnonzero(np.diff(piece)) + 1))


def _conditions(stored: pd.DataFrame) -> pd.DataFrame:
    """List runs of cells with the same labels: their labels, and the rows from `start` to before `stop`."""
    labels = stored[list(SORTED_BY)].reset_index(drop=True)
    before = labels.shift()
    changed = ((labels != before) & ~(labels.isna() & before.isna())).any(axis=1).to_numpy()
    changed[0] = True
    starts = np.flatnonzero(changed)
    table = labels.iloc[starts].reset_index(drop=True)
    return table.assign(start=starts, stop=np.r_[starts[1:], len(labels)]).set_axis(table.index.astype(str), axis=0)
