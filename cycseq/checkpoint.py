"""A trained model in one file: weights, configuration, genes and vocabulary; read without running any code in it."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zipfile import BadZipFile

import torch
from torch import Tensor

from cycseq.config import TrainConfig, from_json, to_json
from cycseq.errors import CheckpointError
from cycseq.vocabulary import Vocabulary

FORMAT = "cycseq-checkpoint"
VERSION = 2
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
    }
    write_whole(path, content)


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values so that a reader finds the old file or the whole new one, never a part."""
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_whole(path: Path, kind: FileKind) -> dict[str, Any]:
    """Read what `write_whole` wrote; only tensors and plain values are unpickled, on the CPU.

    Raises
    ------
    CheckpointError
        The file is damaged, cut short, of another kind, or of another version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, BadZipFile) as error:
        raise CheckpointError(f"'{path.name}' cannot be read as a {kind.name} ({error}). {kind.remedy}") from error
    if not isinstance(content, dict) or content.get("format") != kind.format:
        raise CheckpointError(f"'{path.name}' is not a {kind.name}. {kind.remedy}")
    if content["version"] != kind.version:
        raise CheckpointError(
            f"'{path.name}' has format version {content['version']}; this release reads {kind.version}. "
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
    names = json.loads(content["vocabulary"])
    vocabulary = Vocabulary(
        tuple(names["genes"]),
        tuple(names["perturbations"]),
        tuple((context, batch) for context, batch in names["batches"]),
        names["dosed"],
    )
    return Checkpoint(
        from_json(content["config"]),
        vocabulary,
        content["generators"],
        content["critics"],
        content["fine_tuned"],
        content["seed"],
    )
