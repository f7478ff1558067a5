"""Temporary folders of units of work; what processes that were killed have left is removed by the next one."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "cycseq-process-"
LOCK = "lock"


def make_unit_folder() -> Path:
    """Make an empty temporary folder, which is removed with this process at the latest."""
    return Path(tempfile.mkdtemp(prefix="unit-", dir=_home()))


def remove_abandoned(place: Path) -> list[Path]:
    """Remove the folders of processes that have ended; returns them. A process that runs holds the lock of its folder."""
    removed = []
    for folder in place.glob(f"{PREFIX}*/{LOCK}"):
        try:
            with FileLock(folder, blocking=False):
                shutil.rmtree(folder.parent, ignore_errors=True)
        except (Timeout, OSError):  # it runs, or belongs to another user
            continue
        removed.append(folder.parent)
    return removed


@cache
def _home() -> Path:
    """Folder of this process; it is locked until the process ends, however that comes."""
    place = Path(tempfile.gettempdir())
    remove_abandoned(place)
    while True:
        home = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = FileLock(home / LOCK)
        with suppress(FileNotFoundError):  # another process took it for abandoned before it was locked
            lock.acquire()
        if (home / LOCK).is_file():
            atexit.register(_remove, home, lock)
            return home


def _remove(home: Path, lock: FileLock) -> None:
    shutil.rmtree(home, ignore_errors=True)
    lock.release()
