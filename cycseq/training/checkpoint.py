"""A trained model in one file: weights, configuration, genes and vocabulary; read without running any code in it."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from cycseq.config import TrainConfig, from_json, to_json
from cycseq.data.vocabulary import Vocabulary
from cycseq.errors import CheckpointError

FORMAT = "cycseq-checkpoint"
VERSION = 3
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """All that predictions and further fine-tuning need."""

    config: TrainConfig
    vocabulary: Vocabulary
    generators: Weights
    """Pre-trained generators."""
    critics: Weights
    """Critics at the end of pre-training, where fine-tuning starts."""
    fine_tuned: dict[str, Weights] = field(default_factory=dict)
    """Fine-tuned generators by context."""
    seed: int = 0
    cells: dict[str, str] = field(default_factory=dict)
    """Hash of each context's cells of pre-training (`vocabulary.cells_of_contexts`); empty where it is not known."""


class FileKind(NamedTuple):
    """What a file of tensors must be to be read."""

    format: str
    """Its entry "format"."""
    version: int
    """Its entry "version"."""
    name: str
    """How errors call such a file."""
    remedy: str
    """What to do about a file that cannot be used."""


_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    pickle.UnpicklingError,
    zlib.error,
)
"""What reading a file with wrong bytes, or another kind of file, may raise."""
CHECKPOINT = FileKind(
    FORMAT, VERSION, "checkpoint of CycSeq", "Expected a file written by CycSeq.save; train and save the model again."
)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that a reader finds the old file or the whole new one, never a part."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "seed": checkpoint.seed,
        "config": to_json(checkpoint.config),
        "vocabulary": json.dumps(asdict(checkpoint.vocabulary)),
        "generators": checkpoint.generators,
        "critics": checkpoint.critics,
        "fine_tuned": checkpoint.fine_tuned,
        "cells": checkpoint.cells,
    }
    write_whole(path, content)


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values so that a reader finds the old file or the whole new one, never a part.

    Raises
    ------
    OSError
        The disk does not take it.
    """
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except RuntimeError as error:  # what torch makes of a disk that takes no more
        free = shutil.disk_usage(path.parent).free
        raise OSError(
            errno.ENOSPC,
            f"cannot be written ({free / 1e9:.2f} GB free on its disk). What was there before is kept; free space and repeat",
            str(path),
        ) from error
    finally:
        part.unlink(missing_ok=True)


def read_whole(path: Path, kind: FileKind) -> dict[str, Any]:
    """Read what `write_whole` wrote; only tensors and plain values are unpickled, on the CPU.

    Raises
    ------
    CheckpointError
        There is no such file, or it is damaged, cut short, of another kind, or of another version.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"'{path}' {what}; expected a {kind.name}. Look at the path.")
    try:
        with ZipFile(path) as parts:  # torch itself does not look at the checksums it writes
            damaged = parts.testzip()
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except BadZipFile as error:
        raise CheckpointError(
            f"'{path.name}' cannot be read as a {kind.name}: it is cut short, or another kind of file. {kind.remedy}"
        ) from error
    except PermissionError:
        raise
    except _UNREADABLE as error:
        raise CheckpointError(
            f"'{path.name}' cannot be read as a {kind.name} ({type(error).__name__}: it is damaged, or holds more than "
            f"tensors and plain values). {kind.remedy}"
        ) from error
    if damaged:
        raise CheckpointError(f"'{path.name}' is damaged: the checksum of its part '{damaged}' is wrong. {kind.remedy}")
    if not isinstance(content, dict) or content.get("format") != kind.format:
        raise CheckpointError(f"'{path.name}' is not a {kind.name}. {kind.remedy}")
    if content.get("version") != kind.version:
        raise CheckpointError(
            f"'{path.name}' has format version {content.get('version')}; this release reads {kind.version}. "
            f"{kind.remedy} Or read it with the release that wrote it."
        )
    return content


def read(path: Path) -> Checkpoint:
    """Read a model file.

    Raises
    ------
    CheckpointError
        The file is damaged, of another kind, or of another version.
    """
    content = read_whole(path, CHECKPOINT)
    vocabulary = Vocabulary.from_names(json.loads(content["vocabulary"]))
    return Checkpoint(
        from_json(content["config"]),
        vocabulary,
        content["generators"],
        content["critics"],
        content["fine_tuned"],
        content["seed"],
        content["cells"],
    )
