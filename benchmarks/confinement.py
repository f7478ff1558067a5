"""What a child process may touch on disk: Linux's Landlock, which needs no rights and holds for all its children too.

A confined process writes into its own folder only, and does not read what is hidden from it; it cannot look into other
processes' memory either. Where the kernel has no Landlock (before Linux 5.13, other systems) nothing is confined.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE = 1 << 1
CHANGE_DIR = sum(1 << bit for bit in range(4, 13))
"""Remove and make files and folders of every kind."""
REFER, TRUNCATE = 1 << 13, 1 << 14
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38


CACHES = ("TMPDIR", "NUMBA_CACHE_DIR", "TRITON_CACHE_DIR")
"""Variables that name folders which packages must be able to write into."""


def keep_scratch_in(folder: Path) -> None:
    """Let Python and packages write their temporary files into a folder."""
    os.environ |= dict.fromkeys(CACHES, str(folder))
    tempfile.tempdir = None  # so that the next use reads TMPDIR
    numba = sys.modules.get("numba")
    if numba is not None:  # it has read its variables already
        numba.config.reload_config()


def version() -> int:
    """Version of Landlock that this kernel has; 0 without it."""
    if sys.platform != "linux":
        return 0
    return max(0, _libc().syscall(_CREATE, None, 0, _VERSION))


def confine(own: Path, hidden: Iterable[str] = (), shown: Iterable[str] = ()) -> bool:
    """Confine this process for good, where the kernel can; returns whether it did.

    `own` is the folder that it may write into. Paths in `hidden`, and all below them, cannot be read, except those in
    `shown`; a folder that holds one can be listed only, and what appears in it later cannot be read.
    """
    if not version():
        return False
    write = WRITE_FILE | CHANGE_DIR | (REFER if version() > 1 else 0) | (TRUNCATE if version() > 2 else 0)
    secret = [Path(path).resolve() for path in hidden]
    rules = {
        Path("/"): READ_DIR,
        Path("/dev"): READ_FILE | write,
        Path("/proc"): READ_FILE | write,
        own.resolve(): READ_FILE | write,
    }
    for path in (*_outside(Path("/"), secret), *(Path(path).resolve() for path in shown)):
        rules[path] = rules.get(path, 0) | READ_FILE
    attributes = struct.pack("Q", READ_FILE | READ_DIR | write)
    ruleset = _libc().syscall(_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    for path, rights in rules.items():
        with suppress(OSError):
            _allow(ruleset, path, rights)
    _libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    done: int = _libc().syscall(_RESTRICT, ruleset, 0)
    os.close(ruleset)
    return done == 0


def _outside(folder: Path, secret: Sequence[Path]) -> list[Path]:
    """List the largest files and folders in a folder that hold nothing secret."""
    if folder in secret:
        return []
    if not any(path.is_relative_to(folder) for path in secret):
        return [folder]
    try:
        inside = [path for path in folder.iterdir() if not path.is_symlink()]
    except OSError:
        return []
    return [found for path in inside for found in _outside(path, secret)]


def _allow(ruleset: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= READ_FILE | WRITE_FILE | TRUNCATE
        _libc().syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
