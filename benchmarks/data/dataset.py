"""Data sets in memory: what the runner and the scorer take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from anndata import AnnData

from benchmarks.data import cards as cards
from benchmarks.data.annotation import Annotation, from_card, read_annotation
from benchmarks.data.cards import Card
from benchmarks.data.download import locate
from benchmarks.data.sources import Source, builtin
from benchmarks.data.stand_ins import find_card
from benchmarks.data.store.prepared import Prepared, prepare
from benchmarks.errors import DataError, DownloadError, StoreError

IN_MEMORY_GB = 4.0
"""Largest data set that is loaded, GB of its values and gene indices; `CYCSEQ_IN_MEMORY_GB` changes it."""
COPIES = 4
"""Copies of the cells that a run holds at its peak, about: as read, in the run's space, a worker's, a model's training cells."""


@dataclass(frozen=True)
class Dataset:
    """Cells in canonical form and all that is known of them."""

    card: Card
    cells: AnnData
    """[cell, gene]; X is CSR float32 in `card.space`."""
    annotation: Annotation
    expectation: pd.DataFrame | None
    digest: str
    """sha256 of cells, labels and gene names."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Upstream file name → sha256 of what was read."""
    warnings: tuple[str, ...] = ()


def load_dataset(name: str | Source, *, data_dir: Path | None = None, annotation: Path | None = None) -> Dataset:
    """Load a data set into memory, fetching its files and preparing its store if they are not here.

    Parameters
    ----------
    name
        Folder under `datasets/`, or a source such as `own.own_source` makes of a user's own file.
    data_dir
        Folder searched for local copies, by name and by content; `CYCSEQ_DATA` is searched after it.
    annotation
        Gene annotation file that takes the place of the data set's own.

    Raises
    ------
    UnknownName, DownloadError, DataError, StoreError
        No such data set; a file cannot be had or is not the right one; its content is not usable or too large for
        memory; the cache cannot be written.
    """
    found = prepare(builtin(name, data_dir) if isinstance(name, str) else name, data_dir)
    _check_size(found)
    terms, warnings = _annotation(found, data_dir, annotation)
    return Dataset(
        card=found.source.card,
        cells=found.store.to_memory(),
        annotation=terms,
        expectation=found.expectation(),
        digest=found.store.digest,
        files=found.store.files,
        warnings=(*warnings, *found.notes()),
    )


def present(name: str, data_dir: Path | None = None) -> bool:
    """Say whether all files of a data set are on this machine (a simulated one needs none)."""
    return all(locate(file, data_dir) for file in find_card(name, data_dir).files)


def _check_size(found: Prepared) -> None:
    given = os.environ.get("CYCSEQ_IN_MEMORY_GB", "")
    try:
        limit = float(given) if given else IN_MEMORY_GB
    except ValueError as error:
        raise DataError(f"CYCSEQ_IN_MEMORY_GB is '{given}'; expected a number of gigabytes.") from error
    size = found.store.n_bytes / 1e9
    if size > limit:
        raise DataError(
            f"{found.source.card.name} has {found.store.n_obs:,} cells with {size:.2f} GB of values; runs hold all cells in "
            f"memory, about {COPIES} times over, and load at most {limit:g} GB. On a machine with {COPIES * size:.0f} GB of "
            f"memory or more set CYCSEQ_IN_MEMORY_GB={size + 1:.0f}. The prepared cells are in {found.store.folder} and can "
            "be read by condition: benchmarks.data.store.cell_store.CellStore.open."
        )


def _annotation(found: Prepared, data_dir: Path | None, path: Path | None) -> tuple[Annotation, tuple[str, ...]]:
    if path:
        return read_annotation(path), ()
    own = found.annotation()
    if own or not found.source.card.annotation:
        return own, ()
    try:
        return from_card(found.source.card.annotation, data_dir), ()
    except (DownloadError, StoreError) as error:
        return {}, (
            f"No gene annotation for {found.source.card.name}: {error} Models that need one are 'unsupported'.",
        )
