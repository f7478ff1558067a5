"""Prepared data sets: read once by their reader, written to a store in the cache, opened from there ever after."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from anndata import AnnData, read_h5ad

from benchmarks.data.annotation import Annotation
from benchmarks.data.cards import Card, SourceFile
from benchmarks.data.download import Found, cache_dir, fetch_all, known_sha256, locate, sha256_of
from benchmarks.data.sources import Source
from benchmarks.data.store.atomic_files import Progress, ignore_progress, make_once, need_space
from benchmarks.data.store.cell_store import VERSION, CellStore, read_about, write_about
from benchmarks.data.store.store_writer import write_cells
from benchmarks.errors import DataError, DownloadError

ANNOTATION, EXPECTATION, NOTES = "annotation.json", "expectation.h5ad", "notes.json"
UNREADABLE = (OSError, EOFError, KeyError, ValueError, zlib.error)
"""What reading a file raises that is truncated, or not the one its reader expects."""


@dataclass(frozen=True)
class Prepared:
    """A data set's cells on disk, and all else its reader gave."""

    source: Source
    store: CellStore

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


@dataclass(frozen=True)
class Finding:
    """What one check of `verify` found."""

    what: str
    ok: bool
    text: str


def prepare(source: Source, data_dir: Path | None = None, report: Progress = ignore_progress) -> Prepared:
    """Open a data set's store, which is made first if it is not in the cache.

    The store is of these files, read by this code: where either changes, another is made.

    Parameters
    ----------
    source
        From `sources.builtin` or `own_file.own_source`.
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


def verify(source: Source, data_dir: Path | None = None) -> list[Finding]:
    """Hash every file of a data set and its prepared cells again; nothing is downloaded or made."""
    findings = [_verify_file(file, data_dir) for file in source.card.files]
    if all(finding.ok for finding in findings):
        findings.append(_verify_store(source, data_dir))
    return findings


def store_folder(source: Source, found: Mapping[str, Found]) -> Path:
    """Name the folder of a store, in the cache by all that decides its content: files, card, code, format."""
    if source.store:
        return source.store
    parts = [str(VERSION), source.code, *(f"{key}={found[key].sha256}" for key in sorted(found))]
    key = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return cache_dir() / "cells" / f"{source.card.name}-{key[:16]}"


def _own_files(source: Source) -> dict[str, Found]:
    for path in source.paths.values():
        if not path.is_file():
            raise DataError(f"{path} does not exist; name the file of cells where it is now.")
    return {key: Found(path, known_sha256(path)) for key, path in source.paths.items()}


def _make(folder: Path, source: Source, found: Mapping[str, Found], report: Progress) -> None:
    paths = {key: file.path for key, file in found.items()}
    upstream = sum(path.stat().st_size for path in paths.values())
    need_space(folder.parent, 2 * upstream, f"Preparing {source.card.name}")
    for file in found.values():
        if (
            sha256_of(file.path) != file.sha256
        ):  # the digest of a large file is remembered, and the file may have rotted
            raise DataError(
                f"{file.path} is not the file whose sha256 was {file.sha256}. Run again, or get the file again."
            )
    with _readable(source.card, paths):
        reading = source.read(paths)
    write_cells(
        folder,
        _guarded(reading.blocks, source.card, paths),
        dataset=source.card.name,
        space=source.card.space,
        files={file.path.name: file.sha256 for file in found.values()},
        report=report,
    )
    annotation = {gene: sorted(terms) for gene, terms in reading.annotation.items()}
    for name, content in ((ANNOTATION, annotation), (NOTES, list(reading.notes))):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    if reading.expectation is not None:
        table = reading.expectation
        obs = table.index.to_frame().astype(str).set_axis([str(i) for i in range(len(table))], axis=0)
        AnnData(X=table.to_numpy(), obs=obs, var=pd.DataFrame(index=table.columns)).write_h5ad(folder / EXPECTATION)
    write_about(folder, read_about(folder), *(p for p in (ANNOTATION, NOTES, EXPECTATION) if (folder / p).is_file()))


def _guarded(blocks: Iterable[AnnData], card: Card, paths: Mapping[str, Path]) -> Iterator[AnnData]:
    with _readable(card, paths):
        yield from blocks


@contextmanager
def _readable(card: Card, paths: Mapping[str, Path]) -> Iterator[None]:
    """Say of which files it is that something goes wrong in reading."""
    try:
        yield
    except UNREADABLE as error:
        where = ", ".join(map(str, paths.values())) or "nothing"
        raise DataError(
            f"{card.name}: reading {where} failed: {type(error).__name__}: {error}. The card's columns are "
            f"{dict(card.columns)}; is this the upstream file?"
        ) from error


def _verify_file(file: SourceFile, data_dir: Path | None) -> Finding:
    try:
        found = locate(file, data_dir)
    except DownloadError as error:
        return Finding(file.filename, False, str(error))
    if not found:
        return Finding(file.filename, True, "not on this machine")
    digest = sha256_of(found.path)
    ok = digest == (file.sha256 or found.sha256)
    known = "as its card says" if file.sha256 else "its card knows none"
    return Finding(str(found.path), ok, f"sha256 {digest}, {known if ok else 'another than before'}")


def _verify_store(source: Source, data_dir: Path | None) -> Finding:
    try:
        found = prepared(source, data_dir)
        if not found:
            return Finding("prepared cells", True, "none")
        digest = found.store.recompute_digest()
    except DataError as error:
        return Finding("prepared cells", False, str(error))
    ok = digest == found.store.digest
    known = (
        "as when it was made" if ok else f"not {found.store.digest} as then. Delete the folder and prepare it again."
    )
    return Finding(str(found.store.folder), ok, f"digest {digest}, {known}")
