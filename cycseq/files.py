"""Files and folders that a reader finds whole or not at all, and records of tensors with a format and a version."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

import torch
from pydantic import ConfigDict, TypeAdapter

from cycseq.errors import CheckpointError, ConfigError

UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, AttributeError, TypeError, OverflowError, MemoryError),
    *(pickle.UnpicklingError, zlib.error, BadZipFile),
)
"""What reading a file with wrong bytes, or another kind of file, may raise."""
Record = TypeVar("Record")
_AS_WRITTEN = ConfigDict(strict=True, arbitrary_types_allowed=True)


class FileKind(NamedTuple):
    """What a file must be to be read."""

    format: str
    version: int
    name: str
    """Name of the kind in errors."""
    remedy: str
    """What to do about a file that cannot be used."""


def check_place(path: str | Path, *, folder: bool = False) -> Path:
    """Return the path of a file (or `folder`) to be written; raises `ConfigError` if that will not be possible."""
    found = Path(path)
    if not found.absolute().parent.is_dir():
        raise ConfigError(f"'{path}' cannot be written: there is no folder '{found.parent}'. Make it first.")
    if found.is_dir() and not folder:
        raise ConfigError(f"'{path}' is a folder; expected the path of a file to write.")
    return found


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write a file or a folder to; it takes the name `path` when the block ends.

    Raises `OSError` if `path` is a folder that is not empty. If anything is raised, nothing is left behind.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)


def write_record(path: Path, kind: FileKind, record: Any) -> None:
    """Replace a file by a dataclass of tensors, plain values and, as JSON, other dataclasses.

    Raises `OSError`, with the free space, if the disk is full.
    """
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    plain = {name: json.dumps(asdict(value)) if is_dataclass(value) else value for name, value in values.items()}  # type: ignore[arg-type]
    try:
        with written_whole(path) as part, part.open("xb") as file:
            torch.save({"format": kind.format, "version": kind.version} | plain, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:  # torch raises this on a full disk
        free = shutil.disk_usage(path.parent).free / 1e9
        message = f"cannot be written ({free:.2f} GB free). The old file is kept"
        raise OSError(errno.ENOSPC, message, str(path)) from error


def read_record(path: Path, kind: FileKind, cls: type[Record]) -> Record:
    """Read what `write_record` wrote, on the CPU; only tensors and plain values are unpickled.

    Raises `CheckpointError` if there is no such file, or it is damaged, cut short, of another kind, or of another version.
    """
    if not path.is_file():
        raise CheckpointError(
            f"'{path}' {'is a folder' if path.is_dir() else 'does not exist'}; expected a {kind.name}."
        )
    with readable(path, kind):
        with ZipFile(path) as parts:  # torch does not verify the checksums it writes
            if sum(part.file_size for part in parts.infolist()) > path.stat().st_size:
                raise BadZipFile("its parts are larger than the file, and torch compresses none")
            if damaged := parts.testzip():
                raise BadZipFile(f"the checksum of its part '{damaged}' is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content.get("format") != kind.format:
            raise CheckpointError(f"'{path.name}' is not a {kind.name}. {kind.remedy}")
        if content.get("version") != kind.version:
            raise CheckpointError(
                f"'{path.name}' has format version {content.get('version')}; this release reads {kind.version}. {kind.remedy}"
            )
        hints = get_type_hints(cls)
        nested = {
            name: TypeAdapter(hint).validate_json(content[name]) for name, hint in hints.items() if is_dataclass(hint)
        }
        for name in hints.keys() - nested:
            TypeAdapter(hints[name], config=_AS_WRITTEN).validate_python(content[name])
            if not all(torch.isfinite(tensor).all() for tensor in _tensors(content[name])):
                raise ValueError(f"its {name} have values that are NaN or infinite")
        return cls(**{name: content[name] for name in hints} | nested)


@contextmanager
def readable(path: Path, kind: FileKind) -> Iterator[None]:
    """Turn what goes wrong while a file's content is used into a `CheckpointError` that names the file."""
    try:
        yield
    except (CheckpointError, PermissionError):
        raise
    except UNREADABLE as error:
        raise CheckpointError(
            f"'{path.name}' cannot be read as a {kind.name} ({error!r}): it is damaged, cut short, or another kind of file. "
            f"{kind.remedy}"
        ) from error


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested dictionaries and lists."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)
