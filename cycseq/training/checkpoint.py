"""A trained model in one file: weights, configuration, genes and vocabulary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor

from cycseq.config import TrainConfig, from_json, to_json
from cycseq.data.vocabulary import Vocabulary
from cycseq.files import FileKind, read_tensors, write_tensors

CHECKPOINT = FileKind(
    "cycseq-checkpoint", 3, "checkpoint of CycSeq", "Expected a file of CycSeq.save; train and save the model again."
)
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
    """Hash of each context's cells of pre-training (`vocabulary.cells_of_contexts`)."""


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model file."""
    content = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    content["config"] = to_json(checkpoint.config)
    content["vocabulary"] = json.dumps(asdict(checkpoint.vocabulary))
    write_tensors(path, CHECKPOINT, content)


def read(path: Path) -> Checkpoint:
    """Read a model file; raises `CheckpointError` as `read_tensors` does."""
    content = read_tensors(path, CHECKPOINT)
    fields = {name: content[name] for name in Checkpoint.__dataclass_fields__}
    fields["config"] = from_json(content["config"])
    fields["vocabulary"] = Vocabulary.from_names(json.loads(content["vocabulary"]))
    return Checkpoint(**fields)
