"""Prepared data sets: read once by their reader, written to a store in the cache, opened from there ever after."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from anndata import AnnData, read_h5ad

from benchmarks.data.annotation import Annotation
from benchmarks.data.cards import Card
from benchmarks.data.download import Found, cache_dir, fetch_all, known_sha256, locate
from benchmarks.data.schema import Reading
from benchmarks.data.sources import Source
from benchmarks.data.store.cell_store import VERSION, CellStore
from benchmarks.data.store.make_once import Progress, ignore_progress, make_once, need_space
from benchmarks.data.store.store_writer import write_cells
from benchmarks.errors import DataError

ANNOTATION, EXPECTATION, NOTES = "annotation.json", "expectation.h5ad", "notes.json"
UNREADABLE = (OSError, EOFError, KeyError, ValueError, zlib.error)
"""What reading a file raises that is truncated, or not the one its reader expects."""


@dataclass(frozen=True)
class Prepared:
    """A data set's cells on disk, and all else its reader gave."""

    source: Source
    store: CellStore

    @property
    def card(self) -> Card:
        """The data set's identity."""
        return self.source.card

    def annotation(self) -> Annotation:
        """Gene → terms, where the data set brings its own."""
        table = json.loads((self.store.folder / ANNOTATION).read_text(encoding="utf-8"))
        return {gene: frozenset(terms) for gene, terms in table.items()}

    def expectation(self) -> pd.DataFrame | None:
        """Noise-free profiles of simulated data, indexed by (context, arm, perturbation) and dose (nM, 0 for none), if any."""
        path = self.store.folder / EXPECTATION
        if not path.is_file():
            return None
        table = read_h5ad(path)
        labels = table.obs.astype(object)
        if "dose" in labels:
            labels["dose"] = labels["dose"].astype(float).fillna(0.0)
        index = pd.MultiIndex.from_frame(labels)
        return pd.DataFrame(table.X, index=index, columns=pd.Index(table.var_names, dtype=object))

    def notes(self) -> tuple[str, ...]:
        """What the reader left out or renamed, in words."""
        return tuple(json.loads((self.store.folder / NOTES).read_text(encoding="utf-8")))


def prepare(source: Source, data_dir: Path | None = None, report: Progress = ignore_progress) -> Prepared:
    """Open a data set's store, which is made first if it is not in the cache.

    The store is of these files, read by this code: where either changes, another is made.

    Parameters
    ----------
    source
        From `reader.builtin` or `own.own_source`.
    data_dir
        Folder searched for local copies of the files.
    report
        Called with what is being done.

    Raises
    ------
    DownloadError, DataError, StoreError
        A file cannot be had or is not the right one; its content is not usable; the cache cannot be written.
    """
    found = {**fetch_all(source.card.files, data_dir), **_own_files(source)}
    folder = store_folder(source, found)
    make_once(folder, lambda making: _make(making, source, found, report), report)
    return Prepared(source, CellStore.open(folder))


def prepared(source: Source, data_dir: Path | None = None) -> Prepared | None:
    """Open a data set's store if it is in the cache; None if not."""
    found = {file.key: here for file in source.card.files if (here := locate(file, data_dir))}
    if len(found) < len(source.card.files):
        return None
    folder = store_folder(source, {**found, **_own_files(source)})
    return Prepared(source, CellStore.open(folder)) if folder.is_dir() else None


def _own_files(source: Source) -> dict[str, Found]:
    for path in source.paths.values():
        if not path.is_file():
            raise DataError(f"{path} does not exist; expected a file of cells.")
    return {key: Found(path, known_sha256(path)) for key, path in source.paths.items()}


def store_folder(source: Source, found: Mapping[str, Found]) -> Path:
    """Name the folder of a store by all that decides its content: files, card, code, format."""
    parts = [str(VERSION), source.code, *(f"{key}={found[key].sha256}" for key in sorted(found))]
    key = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return cache_dir() / "cells" / f"{source.card.name}-{key[:16]}"


def _make(folder: Path, source: Source, found: Mapping[str, Found], report: Progress) -> None:
    name = source.card.name
    paths = {key: file.path for key, file in found.items()}
    upstream = sum(path.stat().st_size for path in paths.values())
    need_space(folder, 2 * upstream, f"Preparing {name} from {upstream / 1e9:.2f} GB of files")
    where = ", ".join(map(str, paths.values())) or "nothing"
    try:
        reading: Reading = source.read(paths)
    except UNREADABLE as error:
        raise _unreadable(source.card, where, error) from error
    write_cells(
        folder,
        _guarded(reading.blocks, source.card, where),
        dataset=name,
        space=source.card.space,
        files={file.path.name: file.sha256 for file in found.values()},
        report=report,
    )
    _write_json(folder / ANNOTATION, {gene: sorted(terms) for gene, terms in reading.annotation.items()})
    _write_json(folder / NOTES, list(reading.notes))
    if reading.expectation is not None:
        table = reading.expectation
        obs = table.index.to_frame().astype(str).set_axis([str(i) for i in range(len(table))], axis=0)
        AnnData(X=table.to_numpy(), obs=obs, var=pd.DataFrame(index=table.columns)).write_h5ad(folder / EXPECTATION)


def _guarded(blocks: Iterable[AnnData], card: Card, where: str) -> Iterator[AnnData]:
    """Pass blocks on; what goes wrong in reading them says of which files."""
    try:
        yield from blocks
    except UNREADABLE as error:
        raise _unreadable(card, where, error) from error


def _unreadable(card: Card, where: str, error: Exception) -> DataError:
    return DataError(
        f"{card.name}: reading {where} failed: {type(error).__name__}: {error}. The card's columns are "
        f"{dict(card.columns)}; is this the upstream file?"
    )


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
