"""Walk through the structure of an HDF5 file in a process of its own, which may crash or never end.

HDF5 trusts the addresses and lengths in a file: on a damaged one it can read beyond its memory or go round in circles, which
no caller can stop. The walk does what a reader does with a file, except that it reads no numbers.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
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
    done = subprocess.run(
        [sys.executable, "-I", __file__, str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return f"HDF5 was ended by signal {-done.returncode}" if done.returncode < 0 else ""


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


def main(path: str) -> None:
    """Walk through the places of a file that readers read."""
    import h5py

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with h5py.File(path, "r") as file:
        seen = set[int]()
        for place in PLACES:
            _try(lambda place: _walk(file[place], seen), place)


if __name__ == "__main__":
    main(sys.argv[1])
