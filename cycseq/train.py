"""Training: one loop that runs the pre-training and the fine-tuning stage alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cycseq.config import Stage, TrainConfig
from cycseq.errors import TrainingError
from cycseq.model import Critics, Generators
from cycseq.sampling import PairLoader
from cycseq.step import Stepper
from cycseq.validation import References, Report, evaluate, references

Reporter = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Epoch:
    """One epoch in the history; epoch 0 is the state before training."""

    number: int
    """Epoch, from 1; 0 before training."""
    losses: Mapping[str, float]
    """Mean of each unweighted loss term over the epoch; empty for epoch 0."""
    validation: Report
    """Validation errors and signs of collapse after the epoch."""
    seconds: float
    """Wall time since the stage began."""


@dataclass(frozen=True)
class History:
    """What happened in one stage."""

    stage: str
    """"pretrain" or "finetune"."""
    context: str | None
    """The context fine-tuned on; None for pre-training."""
    references: References
    """Trivial errors on the same validation draws."""
    epochs: tuple[Epoch, ...]
    """All epochs that ran, epoch 0 first."""
    best_epoch: int
    """Epoch whose weights were kept."""


@dataclass(frozen=True)
class Run:
    """Everything about a stage that is not data or weights."""

    config: TrainConfig
    stage: Stage
    seed: int
    """Seeds the order of the pairs, dropout and the latents' noise."""
    report: Reporter
    """Called once an epoch with (done, total, text)."""
    context: str | None = None
    """The context fine-tuned on; None for pre-training."""


def train_stage(
    generators: Generators, critics: Critics, train: PairLoader, validation: PairLoader, run: Run
) -> History:
    """Train the networks in place and leave the weights of the best validation error in the generators.

    Parameters
    ----------
    generators, critics
        Networks; the critics keep their last weights.
    train, validation
        Pseudo-pairs of disjoint cells.
    run
        Settings, seed and reporter.

    Raises
    ------
    TrainingError
        A loss or the validation error became NaN or infinite.
    """
    started, trivial = time.perf_counter(), references(train, validation)
    rng = np.random.default_rng(run.seed)
    epochs = [Epoch(0, {}, evaluate(generators, validation), 0.0)]
    best, best_epoch, best_weights = epochs[0].validation.errors.mean, 0, deepcopy(generators.state_dict())
    trainer = _Trainer(generators, critics, run, train.variance())
    with seeded(run.seed, train.device):
        for number in range(1, run.stage.epochs + 1):
            terms = trainer.epoch(train, rng, number)
            found = evaluate(generators, validation)
            _check_finite(found.errors.mean, "validation error", number, run.stage)
            epochs.append(Epoch(number, terms, found, time.perf_counter() - started))
            if found.errors.mean < best:
                best, best_epoch, best_weights = found.errors.mean, number, deepcopy(generators.state_dict())
            run.report(number, run.stage.epochs, _progress(run, found, trivial))
            if number - best_epoch >= run.stage.patience:
                break
    generators.load_state_dict(best_weights)
    return History(run.stage.name, run.context, trivial, tuple(epochs), best_epoch)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch's global generators inside a block, for weights and dropout; their state outside is not touched."""
    devices = [] if torch.device(device).type == "cpu" else [device]
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


class _Trainer:
    """The stepper of a stage and its schedules."""

    def __init__(self, generators: Generators, critics: Critics, run: Run, variance: float) -> None:
        self.run = run
        self.stepper = Stepper(generators, critics, run.config, run.stage, variance)
        every = max(1, round(0.1 * run.stage.epochs))
        self.schedules = [
            torch.optim.lr_scheduler.StepLR(optimizer, every, run.config.decay) for optimizer in self.stepper.optimizers
        ]

    def epoch(self, train: PairLoader, rng: np.random.Generator, number: int) -> dict[str, float]:
        """Take one step a batch; return the mean of each loss term."""
        sums: dict[str, Tensor] = {}
        n_steps = 0
        while n_steps < self.run.stage.least_steps:
            for batch in train.epoch(self.run.stage.batch_size, rng):
                terms = self.stepper.step(batch)
                sums = {name: sums.get(name, 0) + term for name, term in terms.items()}
                n_steps += 1
        for schedule in self.schedules:
            schedule.step()
        means = {name: (total / n_steps).item() for name, total in sums.items()}
        for name, value in means.items():
            _check_finite(value, f"loss '{name}'", number, self.run.stage)
        return means


def _check_finite(value: float, name: str, epoch: int, stage: Stage) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"The {name} is {value} in epoch {epoch} of stage '{stage.name}'; expected a finite "
            f"number. Lower the learning rate ({stage.learning_rate:g}) or check the scale of X."
        )


def _progress(run: Run, found: Report, trivial: References) -> str:
    where = f" {run.context}" if run.context else ""
    return (
        f"{run.stage.name}{where}: validation error n2p {found.errors.n2p:.4f} (copy {trivial.copy.n2p:.4f}), "
        f"p2n {found.errors.p2n:.4f} (copy {trivial.copy.p2n:.4f})"
    )
