"""What the harness itself remembers of a run while it goes, so that no child process can change what counts.

Outcomes and records of trained models are small JSON files in the run's folder. While a ledger is open for that folder
they are read from memory only, and files that a child wrote, changed or removed are put right when it is closed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.data.store.atomic_files import atomic
from benchmarks.errors import StoreError

KEPT = ("predictions/**/outcome.json", "fitted/*/seal.json")
PARAMETERS, SUMMARIES = ("integration/**/*", "training/*.npz"), "truth/**/*"
_open: dict[Path, dict[Path, bytes]] = {}
"""Folder of a run that goes → file → content."""
_watched: dict[Path, dict[Path, str]] = {}
"""Folder of a run that goes → file that is not changed while models train → digest."""


@contextmanager
def ledger(run: Path) -> Iterator[None]:
    """Remember the records in a run's folder, and those that are written from now on."""
    run = run.resolve()
    records = _open[run] = {path: path.read_bytes() for kind in KEPT for path in run.glob(kind)}
    try:
        yield
    finally:
        del _open[run]
        _watched.pop(run, None)
        for path in (path for kind in KEPT for path in run.glob(kind) if path not in records):
            with suppress(OSError):
                path.unlink()
        for path, content in records.items():
            if not path.is_file() or path.read_bytes() != content:
                _write(path, content)


def read_record(path: Path) -> bytes:
    """Read a record, from memory while its run goes; raises `OSError` where there is none."""
    records = _records(path)
    if records is None:
        return path.read_bytes()
    if path.resolve() not in records:
        raise FileNotFoundError(path)
    return records[path.resolve()]


def write_record(path: Path, content: bytes) -> None:
    """Write a record whole or not at all, and remember it while its run goes; raises `StoreError`."""
    _write(path, content)
    records = _records(path)
    if records is not None:
        records[path.resolve()] = content


def remember_record(path: Path) -> None:
    """Remember a record that has just been written; nothing where there is none, or no run goes."""
    records = _records(path)
    if records is not None and path.is_file():
        records[path.resolve()] = path.read_bytes()


def forget_records(folder: Path) -> None:
    """Forget the records in a folder whose content is made again."""
    records, folder = _records(folder), folder.resolve()
    for path in [path for path in records or () if path.is_relative_to(folder)]:
        del (records or {})[path]


def watch_files(run: Path) -> None:
    """Remember the digests of what a run has written before its models are trained."""
    paths = [path for kind in (*PARAMETERS, SUMMARIES) for path in run.resolve().glob(kind) if path.is_file()]
    _watched[run.resolve()] = {path: _digest(path) for path in paths}


def check_unchanged(path: Path) -> None:
    """Raise `StoreError` for a watched file that has changed."""
    path = path.resolve()
    for known in _watched.values():
        if path in known and not _is(path, known[path]):
            raise StoreError(f"{path} was changed while models were trained; delete it and run again with --resume.")


def watch_file(path: Path) -> None:
    """Remember the digest of a file that this process has just written; nothing where no run goes."""
    known = _known(path)
    if known is not None:
        known[path.resolve()] = _digest(path)


def is_trusted(path: Path) -> bool:
    """Return whether a file is there and, while a run goes, is as this process has written it or found it at the start."""
    known = _known(path)
    return path.is_file() if known is None else path.resolve() in known and _is(path, known[path.resolve()])


def drop_changed_files(run: Path) -> None:
    """Remove summaries of the truth that others have written or changed while models were trained, so that they are made again."""
    known = _watched.get(run.resolve(), {})
    for path in run.resolve().glob(SUMMARIES):
        if path.is_file() and not (path in known and _is(path, known[path])):
            path.unlink()


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and _digest(path) == digest


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _known(path: Path) -> dict[Path, str] | None:
    return next((found for run, found in _watched.items() if path.resolve().is_relative_to(run)), None)


def _records(path: Path) -> dict[Path, bytes] | None:
    return next((found for run, found in _open.items() if path.resolve().is_relative_to(run)), None)


def _write(path: Path, content: bytes) -> None:
    with atomic(path) as handle:
        handle.write(content)
