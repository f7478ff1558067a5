"""From a reader's blocks to a store of cells: streamed, sorted on disk, hashed on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem

from benchmarks.data.schema import TEXT_COLUMNS, validate_labels
from benchmarks.data.store.cell_store import ABOUT, CELLS, FORMAT, SORTED_BY, VERSION
from benchmarks.data.store.external_sort import RUN_BYTES, Spool, sort_order
from benchmarks.data.store.make_once import Progress, ignore_progress, need_space
from benchmarks.data.store.sparse_rows import DiskRows

PIECES = 4
"""Pieces a run is gathered in: what is sorted at a time is read back in parts."""
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
    folder
        An empty folder.
    blocks
        Cells in canonical form (see `benchmarks.data.schema.Reading`).
    dataset, space
        Name and expression space of the data set.
    files
        Upstream file name → sha256 of what is read.
    report
        Called with how far it is.
    run_bytes
        Bytes of values and indices sorted at a time.

    Raises
    ------
    DataError
        Cells that are not in canonical form, or none.
    StoreError
        Not enough room on the disk.
    OSError
        The disk refuses.
    """
    spooling = folder / "spool"
    spooling.mkdir()
    spool = Spool(spooling, dataset, space, run_bytes)
    try:
        _take(spool, blocks, report)
        rows, written, obs = spool.finish()
        validate_labels(obs, dataset=dataset)
        digest = _finish_hash(spool, rows, written, obs, report)
        need_space(folder, 8 * int(rows.ends[-1]) + LABEL_BYTES * len(obs), f"The store of {dataset}")
        _write_h5ad(folder / CELLS, (rows, written), obs, spool, report)
    finally:
        spool.close()
    shutil.rmtree(spooling)
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
    (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def _take(spool: Spool, blocks: Iterable[AnnData], report: Progress) -> None:
    n_cells = 0
    for block in blocks:
        spool.add(block)
        n_cells += block.n_obs
        report(f"{n_cells:,} cells read")


def _finish_hash(spool: Spool, rows: DiskRows, written: np.ndarray, obs: pd.DataFrame, report: Progress) -> str:
    """Hash gene indices and labels in the reader's order; the values were hashed when they came."""
    lengths = np.diff(rows.ends)[written]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    for places in _pieces(written, lengths, spool.run_bytes // PIECES):
        spool.content.indices(rows.read(places).indices)
    report("content hashed")
    return spool.content.finish(ends, obs, spool.genes)


def _write_h5ad(
    path: Path, spooled: tuple[DiskRows, np.ndarray], obs: pd.DataFrame, spool: Spool, report: Progress
) -> None:
    rows, written = spooled
    order = sort_order(obs)
    lengths = np.diff(rows.ends)[written[order]]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    stored = obs.iloc[order].assign(position=order)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", stored.astype(dict.fromkeys(TEXT_COLUMNS, "category")))
        write_elem(file, "var", pd.DataFrame(index=spool.genes))
        write_elem(file, "uns", {"conditions": _conditions(stored)})
        group = file.create_group("X")
        group.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (len(obs), rows.n_columns)}
        )
        group["indptr"] = ends
        data = group.create_dataset("data", (ends[-1],), "<f4", fill_time="never")
        indices = group.create_dataset("indices", (ends[-1],), "<i4", fill_time="never")
        start = done = 0
        for places in _pieces(written[order], lengths, spool.run_bytes // PIECES):
            x = rows.read(places)
            data[start : start + x.nnz], indices[start : start + x.nnz] = x.data, x.indices
            start, done = start + x.nnz, done + len(places)
            report(f"{done:,} of {len(obs):,} cells written")


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
