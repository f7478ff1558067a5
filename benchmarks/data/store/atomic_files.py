"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

from benchmarks.errors import StoreError


def clear(folder: Path) -> None:
    """Make a folder empty, whether it is there or not; raises `StoreError`."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StoreError(_refused(folder, error)) from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    with atomic(path) as handle:
        handle.write(json.dumps(content, indent=1, sort_keys=True, default=str).encode())


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only once it is complete; raises `StoreError` if the disk refuses."""
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
            partial = Path(handle.name)
            yield handle.file
        partial.chmod(0o666 & ~_umask())  # temporary files are made for their owner alone; results are for the lab
        os.replace(partial, path)
    except OSError as error:
        raise StoreError(_refused(path, error)) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _umask() -> int:
    """Permissions that this process takes away from new files; they can only be read by setting them."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _refused(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be written: {error.strerror or error}. What was finished is kept; free space or choose "
        "another --out, then run the same command with --resume."
    )


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all; raises `StoreError`."""
    with atomic(path) as handle:
        handle.write(table.to_csv(index=False, float_format="%.10g").encode())
