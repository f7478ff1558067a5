"""What is kept in files: a trained model, and the state from which an interrupted stage resumes to the same weights."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from cycseq.config import TrainConfig
from cycseq.data.input_checks import check_whole
from cycseq.data.vocabulary import Vocabulary
from cycseq.devices import seeded
from cycseq.errors import CheckpointError
from cycseq.files import FileKind, read_record, readable, write_record
from cycseq.model import Critics, Generators, Sizes
from cycseq.training.history import History

MODEL_FILE = FileKind(
    "cycseq-checkpoint", 3, "checkpoint of CycSeq", "Expected a file of CycSeq.save; train and save the model again."
)
STATE_FILE = FileKind(
    *("cycseq-training-state", 2, "training state of CycSeq"),
    "Delete it to train this stage from its start, or give the file that belongs to it.",
)
Weights = dict[str, Tensor]
Owner = dict[str, str]
"""What identifies the training that a state belongs to, by the name that errors give each part."""


@dataclass(frozen=True)
class Checkpoint:
    """Content of a model file; fields as in `Trained`."""

    config: TrainConfig
    vocabulary: Vocabulary
    generators: Weights
    critics: Weights
    fine_tuned: dict[str, Weights]
    seed: int
    cells: dict[str, str]


@dataclass
class Trained:
    """All that predictions and further fine-tuning need."""

    config: TrainConfig
    seed: int
    vocabulary: Vocabulary
    generators: Generators
    """Pre-trained generators."""
    critics: Critics
    """Critics at the end of pre-training, where fine-tuning starts."""
    cells: dict[str, str]
    """Hash of each context's cells of pre-training (`vocabulary.cells_of_contexts`)."""
    fine_tuned: dict[str, Generators] = field(default_factory=dict)
    """Fine-tuned generators by context."""

    def of(self, context: str) -> Generators:
        """Generators for a context: those fine-tuned on it, else the pre-trained ones."""
        return self.fine_tuned.get(context, self.generators)

    def save(self, path: Path) -> None:
        """Write a model file."""
        tuned = {context: net.state_dict() for context, net in self.fine_tuned.items()}
        weights = self.generators.state_dict(), self.critics.state_dict(), tuned
        write_record(path, MODEL_FILE, Checkpoint(self.config, self.vocabulary, *weights, self.seed, self.cells))

    @classmethod
    def load(cls, path: Path, device: str) -> Self:
        """Read a model file; raises `CheckpointError` as `read_record` does."""
        stored = read_record(path, MODEL_FILE, Checkpoint)
        with readable(path, MODEL_FILE):
            check_whole("seed", stored.seed, 0)
            with torch.device("meta"):  # weights that do not fit the configuration are refused before memory is taken
                expected = networks(stored.vocabulary, stored.config)
            for weights in (stored.generators, *stored.fine_tuned.values()):
                expected[0].load_state_dict(weights, assign=True)
            expected[1].load_state_dict(stored.critics, assign=True)
            generators, critics = build(stored.vocabulary, stored.config, stored.seed, device)
            generators.load_state_dict(stored.generators)
            critics.load_state_dict(stored.critics)
            tuned = {context: deepcopy(generators) for context in stored.fine_tuned}
            for context, weights in stored.fine_tuned.items():
                tuned[context].load_state_dict(weights)
        return cls(stored.config, stored.seed, stored.vocabulary, generators, critics, stored.cells, tuned)


def build(known: Vocabulary, config: TrainConfig, seed: int, device: str) -> tuple[Generators, Critics]:
    """Make untrained networks, always the same."""
    with seeded(seed, device):
        generators, critics = networks(known, config)
    return generators.to(device).eval(), critics.to(device).eval()


def networks(known: Vocabulary, config: TrainConfig) -> tuple[Generators, Critics]:
    """Make networks for a vocabulary."""
    sizes = Sizes(len(known.genes), len(known.perturbations), len(known.batches), int(known.dosed))
    return Generators(sizes, config.model), Critics(sizes, config.model)


@dataclass(frozen=True)
class StageState:
    """All that the next epoch depends on, and all that is needed at the end."""

    owner: Owner
    history: History
    finished: bool
    """Whether the stage has ended; then `generators`, `optimizers` and what follows are empty."""
    best: Weights
    """Generators of the best validation error so far."""
    critics: Weights
    """Critics after the last epoch."""
    generators: Weights
    """Generators after the last epoch."""
    optimizers: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    order: str
    """State of the generator that orders the pairs, JSON."""
    random: list[dict[str, Tensor]]
    """States of torch's global generators, one entry a process."""


def read_state(path: Path, owner: Owner) -> StageState | None:
    """Read the state of a training, None if there is no file; raises `CheckpointError` if it is another training's."""
    if not path.exists():
        return None
    found = read_record(path, STATE_FILE, StageState)
    other = [name for name, label in owner.items() if found.owner.get(name) != label]
    if other:
        raise CheckpointError(
            f"'{path.name}' belongs to another training: its {', '.join(other)} differ. {STATE_FILE.remedy}"
        )
    return found


def fingerprint(*nets: nn.Module) -> str:
    """Hash all weights of some networks."""
    found = sha256()
    for net in nets:
        for weight in net.state_dict().values():
            found.update(weight.detach().cpu().contiguous().numpy())
    return found.hexdigest()
