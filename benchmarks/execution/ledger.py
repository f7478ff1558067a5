"""What the harness itself remembers of a run while it goes, so that no child process can change what counts.

Outcomes and records of trained models are small JSON files in the run's folder. While a ledger is open for a folder they
are read from memory only, and files that a child wrote, changed or removed are put right when it is closed. A ledger that
is shared is for a folder into which other processes write too: each record is read from disk once, what a unit's own
process reports of it counts more, and no file is touched when it is closed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.data.store.atomic_files import atomic
from benchmarks.errors import StoreError

KEPT = ("predictions/**/outcome.json", "fitted/*/seal.json", "outcome.json", "seal.json")
"""Records below a run's folder, and in the folder of one set of predictions or of one trained model."""
PARAMETERS, SUMMARIES = "integration/**/*", ("truth/**/*", "training/*/about.npz")
_open: dict[Path, dict[Path, bytes | None]] = {}
"""Folder → file → content; None for a file that is not there."""
_shared: set[Path] = set()
"""Folders into which other processes write too."""
_watched: dict[Path, dict[Path, str]] = {}
"""Folder of a run that goes → file that is not changed while models train → digest."""


@contextmanager
def ledger(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Remember the records in a folder, and those that are written from now on.

    The folder is that of a run, of a set of predictions or of a trained model; `shared` says whether other processes write
    records into it too.
    """
    folder = folder.resolve()
    records = _open[folder] = {} if shared else {path: path.read_bytes() for path in _files(folder)}
    if shared:
        _shared.add(folder)
    try:
        yield
    finally:
        del _open[folder]
        _watched.pop(folder, None)
        if shared:
            _shared.remove(folder)
        else:
            _put_right(folder, records)


def _files(folder: Path) -> list[Path]:
    return [path for kind in KEPT for path in folder.glob(kind)]


def _put_right(folder: Path, records: dict[Path, bytes | None]) -> None:
    """Write the records of a folder where the files are not what was recorded, and remove files that are no records."""
    for path in (path for path in _files(folder) if path not in records):
        with suppress(OSError):
            path.unlink()
    for path, content in records.items():
        if content is not None and (not path.is_file() or path.read_bytes() != content):
            _write(path, content)


def read_record(path: Path) -> bytes:
    """Read a record, from memory while a ledger is open for it; raises `OSError` where there is none."""
    folder, path = _ledger_of(path), path.resolve()
    if folder is None:
        return path.read_bytes()
    records = _open[folder]
    if folder in _shared and path not in records:
        records[path] = path.read_bytes() if path.is_file() else None
    content = records.get(path)
    if content is None:
        raise FileNotFoundError(path)
    return content


def write_record(path: Path, content: bytes) -> None:
    """Write a record whole or not at all, and remember it while a ledger is open for it; raises `StoreError`."""
    _write(path, content)
    remember_record(path, content)


def remember_record(path: Path, content: bytes | None = None) -> None:
    """Remember a record that has just been written, by this process or, with its content, by that of a unit.

    Nothing is remembered where there is no such file and no content, or no ledger is open for it.
    """
    folder = _ledger_of(path)
    if folder is not None and (content is not None or path.is_file()):
        _open[folder][path.resolve()] = path.read_bytes() if content is None else content


def forget_records(folder: Path) -> None:
    """Forget the records in a folder whose content is made again."""
    own, folder = _ledger_of(folder), folder.resolve()
    records = _open[own] if own else {}
    for path in [path for path in records if path.is_relative_to(folder)]:
        del records[path]


def watch_files(run: Path) -> None:
    """Remember the digests of what a run has written before its models are trained."""
    paths = [path for kind in (PARAMETERS, *SUMMARIES) for path in run.resolve().glob(kind) if path.is_file()]
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
    """Remove summaries that others have written or changed since `watch_files`, so that they are made again."""
    known = _watched.get(run.resolve())
    if known is None:
        return
    for path in [path for kind in SUMMARIES for path in run.resolve().glob(kind) if path.is_file()]:
        if not (path in known and _is(path, known[path])):
            path.unlink()
            known.pop(path, None)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and _digest(path) == digest


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _known(path: Path) -> dict[Path, str] | None:
    return next((found for run, found in _watched.items() if path.resolve().is_relative_to(run)), None)


def _ledger_of(path: Path) -> Path | None:
    """Find the open folder that holds a path, the innermost of several; None where none does."""
    path = path.resolve()
    return max((folder for folder in _open if path.is_relative_to(folder)), key=lambda f: len(f.parts), default=None)


def _write(path: Path, content: bytes) -> None:
    with atomic(path) as handle:
        handle.write(content)
