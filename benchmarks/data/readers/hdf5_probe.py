"""Walk through the structure of an HDF5 file in a process of its own, which may crash or never end.

HDF5 trusts the addresses and lengths in a file: on a damaged one it can read beyond its memory or go round in circles, which
no caller can stop. The walk does what a reader does with a file, except that it reads no numbers.

The first file starts a process that imports h5py and forks for each file, so that further files take milliseconds.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

CPU_SECONDS = 10
PLACES = ("X", "raw", "layers", "obs", "var", "uns/log1p")
"""What readers of h5ad files read."""


def check_structure(path: Path) -> str:
    """Walk through a file; returns how the process that did so died, or ""."""
    status = path.stat()
    return _checked(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _checked(path: Path, size: int, time: int) -> str:
    status = _ask(path) or _ask(path)  # once more where the process has been ended by something else
    if not status:
        raise OSError(f"{path}: the process that checks HDF5 files ends before it answers.")
    return f"HDF5 was ended by signal {-int(status)}" if int(status) < 0 else ""


def _ask(path: Path) -> str:
    """Have a file walked through; returns the exit status, negative for a signal, or "" where there was no answer."""
    process, asking = _forking(os.getpid())
    assert process.stdin is not None
    assert process.stdout is not None
    with asking, suppress(OSError):
        process.stdin.write(json.dumps([str(path), CPU_SECONDS]) + "\n")
        process.stdin.flush()
        if answer := process.stdout.readline().strip():
            return answer
    _end(process)
    _forking.cache_clear()
    return ""


@lru_cache(maxsize=1)
def _forking(pid: int) -> tuple[subprocess.Popen[str], threading.Lock]:
    """Start the process that forks, and make the lock of its questions; a fork of this process has its own.

    Ctrl-C does not reach it: what a run saves then may be made from files.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-I", __file__],
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    atexit.register(_end, process)
    return process, threading.Lock()


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(BrokenPipeError), process:  # its pipes are closed, and it is waited for
        process.kill()


def _walk(item: Any, seen: set[int]) -> None:
    """Read attributes, members, places of chunks, and text of an element."""
    import h5py

    address = h5py.h5o.get_info(item.id).addr
    if address in seen:
        return
    seen.add(address)
    for name in _try(list, item.attrs) or ():
        _try(item.attrs.__getitem__, name)
    if isinstance(item, h5py.Group):
        for name in _try(list, item) or ():
            _try(lambda name: _walk(item[name], seen), name)
        return
    if item.chunks:
        _try(item.id.chunk_iter, lambda chunk: None)
    if item.dtype.hasobject:
        _try(item.__getitem__, slice(None))


def _try(read: Callable[[Any], Any], given: Any) -> Any:
    """Read something; an error that is raised is the reader's to report."""
    try:
        return read(given)
    except Exception:  # noqa: BLE001 - only a crash, or no end, counts here
        return None


def walk(path: str, cpu_seconds: int) -> None:
    """Walk through the places of a file that readers read, for so long at most."""
    import h5py

    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with h5py.File(path, "r") as file:
        seen = set[int]()
        for place in PLACES:
            _try(lambda place: _walk(file[place], seen), place)


def main() -> None:
    """Walk through the files whose paths and limits come in, each in a fork, and print the exit status of each."""
    import h5py as h5py  # once, for all forks

    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                walk(*json.loads(line))
            finally:
                os._exit(0)  # an error is the reader's to report
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
