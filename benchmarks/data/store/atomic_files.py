"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pandas as pd

from benchmarks.errors import StoreError

Progress = Callable[[str], None]
"""Called with a line of text on what is being done."""
MARGIN = 64 << 20
"""Bytes of a disk that are never filled."""


def ignore_progress(text: str) -> None:
    """Discard a report."""


def clear(folder: Path) -> None:
    """Make a folder empty, whether it is there or not; raises `StoreError`."""
    shutil.rmtree(folder, ignore_errors=True)
    with refusals(folder, RESUME):
        folder.mkdir(parents=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all; raises `StoreError`."""
    with atomic(path) as handle:
        handle.write(json.dumps(content, indent=1, sort_keys=True, default=str).encode())


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all; raises `StoreError`."""
    with atomic(path) as handle:
        table.to_csv(handle, mode="wb", index=False, float_format="%.10g")


@contextmanager
def atomic(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only once it is complete and, with `sync`, on the disk.

    Files that belong together may be written without `sync`, and be followed by one `sync_folder`. Raises `StoreError` if the
    disk refuses.
    """
    partial = _temporary(path)
    try:
        with refusals(path, RESUME):
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("x+b") as handle:
                yield handle
                if sync:
                    handle.flush()
                    os.fsync(handle.fileno())
            os.replace(partial, path)
            if sync:
                _sync(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until a folder and the files in it are on the disk; raises `StoreError` if the disk refuses."""
    with refusals(folder, RESUME):
        for path in filter(Path.is_file, folder.rglob("*")):
            _sync(path)
        _sync(folder)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_once(
    folder: Path, make: Callable[[Path], None], report: Progress = ignore_progress, *, remedy: str | None = None
) -> bool:
    """Make a folder if it is not there; it appears under its name only once it is complete.

    Parameters
    ----------
    make
        Fills the empty folder it is given; called by one process at a time.
    report
        Called where another process has to be waited for.
    remedy
        What to do where the disk refuses; default: of a folder of the cache.

    Returns
    -------
    bool
        Whether it was made now; False if it was there, or another process made it in the meantime.

    Raises
    ------
    StoreError
        The disk refuses.
    """
    if folder.is_dir():
        return False
    with refusals(folder, remedy or _MOVE_CACHE), _alone(folder, report):
        if folder.is_dir():
            return False
        for path in folder.parent.glob(f".{folder.name}.*"):
            if path.is_dir():  # left behind by a process that was killed
                shutil.rmtree(path)
        making = _temporary(folder)
        making.mkdir()
        try:
            make(making)
            sync_folder(making)  # files are on the disk before their folder gets its name
            os.rename(making, folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return True


def need_space(folder: Path, needed: int, what: str) -> None:
    """Raise `StoreError` if the disk of a folder, which need not exist yet, has fewer free bytes than are needed."""
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        raise StoreError(
            f"{what} needs {(needed + MARGIN) / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free on the disk of {folder}. {_MOVE_CACHE}"
        )


RESUME = "What was finished is kept; free space or choose another --out, then run the same command with --resume."
FREE_TEMPORARY = "Free space, or name another disk with TMPDIR."
_MOVE_CACHE = "Free some space, or move the cache to another disk with CYCSEQ_CACHE."


@contextmanager
def refusals(path: Path, remedy: str) -> Iterator[None]:
    """Turn what a disk refuses into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}. {remedy}") from error
    except RuntimeError as error:
        if "errno = " not in str(error):
            raise
        raise StoreError(f"{path} cannot be written: {error}. {remedy}") from error  # HDF5 on closing a file


@contextmanager
def _alone(folder: Path, report: Progress) -> Iterator[None]:
    """Keep other processes from making the same folder; wait for one that does."""
    from filelock import FileLock, Timeout  # a model's own environment need not have it

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        report(f"another process is making {folder.name}; waiting for it")
        held = lock.acquire()
    with held:
        yield


def _temporary(path: Path) -> Path:
    """Name for a file or folder beside `path` while it is made, with the permissions of any other."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")
