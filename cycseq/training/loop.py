"""Training: one loop that runs the pre-training and the fine-tuning stage alike."""

from __future__ import annotations

import json
import math
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cycseq.config import Stage, TrainConfig
from cycseq.data.loader import PairLoader
from cycseq.devices import GradientMean, current, random_state, seeded, set_random_state
from cycseq.errors import CheckpointError, TrainingError
from cycseq.files import readable, write_record
from cycseq.model import Critics, Generators
from cycseq.training.checkpoint import STATE_FILE, Owner, StageState, Weights, fingerprint, read_state
from cycseq.training.history import Epoch, History, Reporter, watching
from cycseq.training.step import Stepper
from cycseq.training.validation import evaluate, references

DIVERGED = 1e4
"""A loss term or gradient norm has diverged when it is this many times its mean in the first epoch. Terms that start
below 1 are compared with 1: they are in nats or in units of Var(x), and some, like the KL, start near 0."""


@dataclass(frozen=True)
class Run:
    """Everything about a stage that is not data or weights."""

    config: TrainConfig
    stage: Stage
    seed: int
    """Seeds the order of the pairs, dropout and the latents' noise."""
    report: Reporter
    """Called when training starts and once an epoch with (done, total, text)."""
    context: str | None = None
    """The context fine-tuned on; None for pre-training."""
    state: Path | None = None
    """File the state is written to after every epoch; training resumes from it if it exists. Once the stage has ended
    it holds the result alone, and the same call returns that at once; delete it when the model is saved."""
    log: Path | None = None
    """Folder of a TensorBoard log; None writes none."""
    scratch: Path | None = None
    """Folder for draws that do not fit in memory, as in `draw_store.served`."""
    until: int | None = None
    """Train for this many epochs and keep the last weights; None keeps the best, and stops when patience runs out."""

    @property
    def epochs(self) -> int:
        """Most epochs that are run; the schedule of the learning rate is the stage's all the same."""
        return self.stage.epochs if self.until is None else self.until


class Terms(NamedTuple):
    """Loss terms of an epoch."""

    means: dict[str, float]
    """Mean of each over the steps; NaN or infinite if it was so in any step."""
    sound: dict[str, float]
    """Steps before the first such step."""


def train_stage(
    generators: Generators, critics: Critics, train: PairLoader, validation: PairLoader, run: Run
) -> History:
    """Train the networks in place and leave the weights of the best validation error, or the last, in the generators.

    The critics keep their last weights. Training and validation pairs are of disjoint cells. Under torchrun
    (`cycseq.devices`) the first process validates, reports and writes. Raises `TrainingError` if a loss, a gradient norm or
    the validation error became NaN or infinite, or grew without bound: the generators are left with the best weights so
    far, and the state file with everything after the last epoch before.
    """
    peers = current()
    peers.same_start((generators, critics))
    with seeded(run.seed + peers.rank, train.device):
        training = Training(generators, critics, train, validation, run)
        try:
            training.go_on()
        finally:
            generators.load_state_dict(training.best)
            generators.eval()
            training.stepper.release()
    return training.history


class Training:
    """A stage under way: all that changes from epoch to epoch, and the file it is kept in."""

    def __init__(
        self, generators: Generators, critics: Critics, train: PairLoader, validation: PairLoader, run: Run
    ) -> None:
        self.generators, self.critics, self.run = generators, critics, run
        self.train, self.validation, self.peers = train, validation, current()
        self.rng = np.random.default_rng(run.seed)
        self.reduce = GradientMean(self.peers) if self.peers.world > 1 else None
        self.stepper = Stepper(generators, critics, run.config, run.stage, train.statistics.variance, self.reduce)
        every = max(1, round(0.1 * run.stage.epochs))
        optimizers = self.stepper.optimizers
        self.schedules = [torch.optim.lr_scheduler.StepLR(one, every, run.config.decay) for one in optimizers]
        self.best: Weights = deepcopy(generators.state_dict())
        self.finished = run.epochs == 0
        self.owner = self._owner() if run.state else {}
        if run.state and (found := read_state(run.state, self.owner)):
            with readable(run.state, STATE_FILE):
                self._restore(found)
        else:
            self.history = self.peers.from_first(self._untrained)
        if len({*self.peers.gather(len(self.history.epochs))}) > 1:
            raise CheckpointError(f"The processes read different states from '{run.state}'; expected a shared file.")

    def go_on(self) -> None:
        """Train until the epochs run out or patience does."""
        if self.finished:
            return
        first, log = len(self.history.epochs), self.run.log if self.peers.first else None
        with watching(self.run.report, self.run.epochs, log, first) as publish:
            if first == 1 and self.peers.first:
                publish(self.history)
            while not self.finished:
                self._epoch()
                if self.peers.first:
                    publish(self.history)

    def steps(self) -> Terms:
        """Take the steps of an epoch, one a batch; losses are read from the device once, at the end."""
        size, n_pairs, device = self.run.stage.batch_size, len(self.train), self.train.device
        names: tuple[str, ...] = ()
        sums = sound = torch.zeros((), device=device)
        starts = range(0, n_pairs, size)
        passes = math.ceil(self.run.stage.least_steps / len(starts))
        batches = chain.from_iterable(self.train.epoch(size, self.rng, self.peers) for _ in range(passes))
        for start, batch in zip([*starts] * passes, batches, strict=True):
            weight = self.peers.weight(min(size, n_pairs - start))
            if self.reduce:
                self.reduce.weight = weight
            terms = self.stepper.step(batch)
            names = tuple(terms)
            sums = sums + weight * torch.stack(list(terms.values())).float()
            sound = sound + torch.isfinite(sums)
        for schedule in self.schedules:
            schedule.step()
        sums = self.peers.sum(sums) / (passes * len(starts))
        return Terms(*(dict(zip(names, values, strict=True)) for values in torch.stack([sums, sound]).tolist()))

    def _epoch(self) -> None:
        begun, number, run, stage = time.perf_counter(), len(self.history.epochs), self.run, self.run.stage
        terms = self.steps()
        check_terms(terms, self.history, stage)
        found = self.peers.from_first(lambda: evaluate(self.generators, self.validation))
        if not math.isfinite(found.errors.mean):
            raise _diverged(f"The validation error is {found.errors.mean}", number, stage)
        best_epoch, seconds = self.history.best_epoch, self.history.epochs[-1].seconds
        if run.until is not None or found.errors.mean < self.history.best.errors.mean:
            best_epoch, self.best = number, deepcopy(self.generators.state_dict())
        epoch = Epoch(number, terms.means, found, seconds + time.perf_counter() - begun)
        self.history = replace(self.history, epochs=(*self.history.epochs, epoch), best_epoch=best_epoch)
        self.finished = number == run.epochs or number - best_epoch >= stage.patience
        self._keep()

    def _untrained(self) -> History:
        begun = time.perf_counter()
        trivial, found = references(self.train, self.validation), evaluate(self.generators, self.validation)
        before = Epoch(0, {}, found, time.perf_counter() - begun)
        return History(self.run.stage.name, self.run.context, trivial, (before,), 0)

    def _owner(self) -> Owner:
        run, device = self.run, torch.device(self.train.device).type
        return {
            "configuration": json.dumps(asdict(run.config)),
            "stage": json.dumps(asdict(run.stage)),
            "context": repr(run.context),
            "seed": str(run.seed),
            "number of processes": str(self.peers.world),  # each process and kind of device has its own random numbers
            "device": device,
            "training or validation cells": f"{self.train.source.fingerprint} {self.validation.source.fingerprint}",
            "starting weights": fingerprint(self.generators, self.critics),
        }

    def _keep(self) -> None:
        """Write the state; once the stage has ended, only its result."""
        if self.run.state is None:
            return
        random = self.peers.gather(random_state(self.train.device))
        if not self.peers.first:
            return
        result = self.owner, self.history, self.finished, self.best, self.critics.state_dict()
        rest = (
            self.generators.state_dict(),
            [optimizer.state_dict() for optimizer in self.stepper.optimizers],
            [schedule.state_dict() for schedule in self.schedules],
            json.dumps(self.rng.bit_generator.state),
            random,
        )
        write_record(
            self.run.state, STATE_FILE, StageState(*result, *(({}, [], [], "", []) if self.finished else rest))
        )

    def _restore(self, found: StageState) -> None:
        self.history, self.finished, self.best = found.history, found.finished, found.best
        self.critics.load_state_dict(found.critics)
        self.generators.load_state_dict(found.best)  # which shows that they fit, before an epoch is trained
        if found.finished:
            return
        self.generators.load_state_dict(found.generators)
        kept: tuple[Any, ...] = (*self.stepper.optimizers, *self.schedules)
        for one, values in zip(kept, (*found.optimizers, *found.schedules), strict=True):
            one.load_state_dict(values)
        self.rng.bit_generator.state = json.loads(found.order)
        set_random_state(found.random[self.peers.rank], self.train.device)


def check_terms(terms: Terms, history: History, stage: Stage) -> None:
    """Raise `TrainingError` if a term of the epoch after a history is not finite, or has grown without bound."""
    number = len(history.epochs)
    first = history.epochs[1].losses if number > 1 else terms.means
    broken = [name for name, value in terms.means.items() if not math.isfinite(value)]
    if broken:
        name = min(broken, key=terms.sound.__getitem__)
        what = f"{_title(name)} is {terms.means[name]} since step {terms.sound[name] + 1:.0f}"
        raise _diverged(what, number, stage)
    for name, value in terms.means.items():
        if abs(value) > DIVERGED * max(1.0, abs(first[name])):
            what = f"{_title(name)} is {value:.3g}, was {first[name]:.3g} in the first epoch"
            raise _diverged(what, number, stage)


def _title(name: str) -> str:
    """Name a term in an error: "The loss 'cycle'", "The gradient norm of the critics"."""
    kind, _, net = name.rpartition(".")
    return f"The gradient norm of the {net}" if kind else f"The loss '{name}'"


def _diverged(what: str, epoch: int, stage: Stage) -> TrainingError:
    return TrainingError(
        f"{what}, in epoch {epoch} of stage '{stage.name}': training diverged. "
        f"Lower the learning rate ({stage.learning_rate:g}) or check the scale of X."
    )
