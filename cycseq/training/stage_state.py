"""The state of a stage in one file, from which interrupted training resumes to the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cycseq.errors import CheckpointError
from cycseq.files import FileKind, read_tensors, write_tensors
from cycseq.training import history
from cycseq.training.checkpoint import Weights
from cycseq.training.history import History

STATE = FileKind(
    "cycseq-training-state",
    2,
    "training state of CycSeq",
    "Delete it to train this stage from its start, or give the file that belongs to it.",
)


Owner = dict[str, str]
"""What identifies the training that a state belongs to, by the name that errors give each part."""


@dataclass(frozen=True)
class StageState:
    """All that the next epoch depends on, and all that is needed at the end."""

    history: History
    """Epochs so far."""
    finished: bool
    """Whether the stage has ended; then `optimizers` and what follows are empty."""
    best: Weights
    """Generators of the best validation error so far."""
    generators: Weights
    """Generators after the last epoch; empty once the stage has ended."""
    critics: Weights
    """Critics after the last epoch."""
    optimizers: list[dict[str, Any]]
    """States of the optimisers, their learning rates included."""
    schedules: list[dict[str, Any]]
    """States of the learning rates' schedules."""
    order: str
    """State of the generator that orders the pairs, JSON."""
    random: list[dict[str, Tensor]]
    """States of torch's global generators, one entry a process."""


def write(path: Path, owner: Owner, state: StageState) -> None:
    """Replace the state in a file."""
    fields = {name: getattr(state, name) for name in StageState.__dataclass_fields__}
    fields["history"] = history.to_json(state.history)
    write_tensors(path, STATE, {"owner": owner} | fields)


def read(path: Path, owner: Owner) -> StageState | None:
    """Read the state of a training; None if there is no file.

    Raises
    ------
    CheckpointError
        The file is damaged, cut short, of another version, or belongs to another training.
    """
    if not path.exists():
        return None
    content = read_tensors(path, STATE)
    other = [name for name, label in owner.items() if content["owner"].get(name) != label]
    if other:
        raise CheckpointError(
            f"'{path.name}' belongs to another training: its {', '.join(other)} differ. {STATE.remedy}"
        )
    fields = {name: content[name] for name in StageState.__dataclass_fields__}
    return StageState(**fields | {"history": history.from_json(content["history"])})


def fingerprint(*nets: nn.Module) -> str:
    """Hash all weights of some networks."""
    found = sha256()
    for net in nets:
        for weight in net.state_dict().values():
            found.update(weight.detach().cpu().contiguous().numpy())
    return found.hexdigest()
