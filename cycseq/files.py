"""Files and folders that a reader finds whole or not at all, and files of tensors with a format and a version."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

import torch

from cycseq.errors import CheckpointError

UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, AttributeError, TypeError),
    *(pickle.UnpicklingError, zlib.error),
)
"""What reading a file with wrong bytes, or another kind of file, may raise."""


class FileKind(NamedTuple):
    """What a file of tensors must be to be read."""

    format: str
    """Its entry "format"."""
    version: int
    """Its entry "version"."""
    name: str
    """Name of the kind in errors."""
    remedy: str
    """What to do about a file that cannot be used."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write a file or a folder to; it takes the name `path` when the block ends.

    Raises
    ------
    OSError
        `path` is a folder that is not empty, or the block raised it; nothing is left behind.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)


def write_tensors(path: Path, kind: FileKind, content: dict[str, Any]) -> None:
    """Replace a file of tensors and plain values; raises `OSError`, with the free space, if the disk is full."""
    try:
        with written_whole(path) as part, part.open("xb") as file:
            torch.save({"format": kind.format, "version": kind.version} | content, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:  # torch raises this on a full disk
        free = shutil.disk_usage(path.parent).free / 1e9
        raise OSError(
            errno.ENOSPC, f"cannot be written ({free:.2f} GB free). The old file is kept", str(path)
        ) from error


def read_tensors(path: Path, kind: FileKind) -> dict[str, Any]:
    """Read what `write_tensors` wrote, on the CPU; only tensors and plain values are unpickled.

    Raises
    ------
    CheckpointError
        There is no such file, or it is damaged, cut short, of another kind, or of another version.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"'{path}' {what}; expected a {kind.name}.")
    try:
        with ZipFile(path) as parts:  # torch does not verify the checksums it writes
            damaged = parts.testzip()
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except (BadZipFile, *UNREADABLE) as error:
        raise CheckpointError(
            f"'{path.name}' cannot be read as a {kind.name} ({type(error).__name__}): it is damaged, cut short, or another "
            f"kind of file. {kind.remedy}"
        ) from error
    if damaged:
        raise CheckpointError(f"'{path.name}' is damaged: the checksum of its part '{damaged}' is wrong. {kind.remedy}")
    if not isinstance(content, dict) or content.get("format") != kind.format:
        raise CheckpointError(f"'{path.name}' is not a {kind.name}. {kind.remedy}")
    if content.get("version") != kind.version:
        raise CheckpointError(
            f"'{path.name}' has format version {content.get('version')}; this release reads {kind.version}. {kind.remedy}"
        )
    return content
