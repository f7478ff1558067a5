"""Data sets: what the runner takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmarks.data import cards as cards
from benchmarks.data.annotation import Annotation, from_card, read_annotation
from benchmarks.data.cards import Card
from benchmarks.data.cell_table import CellTable, held
from benchmarks.data.download import locate
from benchmarks.data.sources import Source, builtin
from benchmarks.data.stand_ins import find_card
from benchmarks.data.store.prepared import Prepared, prepare
from benchmarks.errors import DownloadError, StoreError


@dataclass(frozen=True)
class Dataset:
    """Cells in canonical form and all that is known of them."""

    card: Card
    cells: CellTable
    """[cell, gene]; values are CSR float32 in `card.space`: in memory where they are few, else read from the store."""
    annotation: Annotation
    expectation: pd.DataFrame | None
    digest: str
    """sha256 of cells, labels and gene names."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Upstream file name → sha256 of what was read."""
    warnings: tuple[str, ...] = ()


def load_dataset(name: str | Source, *, data_dir: Path | None = None, annotation: Path | None = None) -> Dataset:
    """Open a data set, fetching its files and preparing its store if they are not here.

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
        No such data set; a file cannot be had or is not the right one; its content is not usable; the cache cannot be
        written.
    """
    found = prepare(builtin(name, data_dir) if isinstance(name, str) else name, data_dir)
    terms, warnings = _annotation(found, data_dir, annotation)
    return Dataset(
        card=found.source.card,
        cells=held(found.store),
        annotation=terms,
        expectation=found.expectation(),
        digest=found.store.digest,
        files=found.store.files,
        warnings=(*warnings, *found.notes()),
    )


def present(name: str, data_dir: Path | None = None) -> bool:
    """Say whether all files of a data set are on this machine (a simulated one needs none)."""
    return all(locate(file, data_dir) for file in find_card(name, data_dir).files)


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
