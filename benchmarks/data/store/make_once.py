"""Folders of the cache that are made once: whole or not at all, by one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.errors import StoreError

Progress = Callable[[str], None]
"""Called with a line of text on what is being done."""
MARGIN = 64 << 20
"""Bytes of a disk that are never filled."""
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota is used up",
    errno.EROFS: "it is on a read-only disk",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
}


def ignore_progress(text: str) -> None:
    """Discard a report."""


def make_once(folder: Path, make: Callable[[Path], None], report: Progress = ignore_progress) -> bool:
    """Make a folder if it is not there; it appears under its name only once it is complete.

    Parameters
    ----------
    folder
        The folder.
    make
        Fills the empty folder it is given.
    report
        Called where another process has to be waited for.

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
    with refusals(folder), _alone(folder, report):
        if folder.is_dir():
            return False
        _remove_half_made(folder)
        making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            make(making)
            for path in making.rglob("*"):
                _settle(path)
            making.chmod(0o755)
            os.rename(making, folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return True


def need_space(folder: Path, needed: int, what: str) -> None:
    """Raise `StoreError` if a disk has fewer free bytes than are needed."""
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        raise StoreError(
            f"{what} needs {needed / 1e9:.2f} GB in {folder.parent}, which has {free / 1e9:.2f} GB free. Free some space, "
            "or move the cache to another disk with CYCSEQ_CACHE."
        )


@contextmanager
def refusals(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(
            f"{folder} cannot be written: {reason}. Nothing half-made is left. Free some space, or name another folder "
            "for the cache with CYCSEQ_CACHE."
        ) from error


@contextmanager
def _alone(folder: Path, report: Progress) -> Iterator[None]:
    """Keep other processes from making the same folder; wait for one that does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        report(f"another process is making {folder.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _remove_half_made(folder: Path) -> None:
    """Remove what a process that was killed has left behind; only the holder of the lock may."""
    for path in folder.parent.glob(f".{folder.name}.*"):
        if path.is_dir():
            shutil.rmtree(path)


def _settle(path: Path) -> None:
    """Have a file on the disk before its folder gets its name."""
    if path.is_file():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
