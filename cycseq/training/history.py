"""The history of a stage: losses and validation figures of every epoch, warnings, and what is published under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd

from cycseq.errors import ConfigError
from cycseq.training.validation import References, Report

MODE_COLLAPSE = 0.05
"""Predictions of different perturbations that differ by less than this share of what the data's do are all the same."""
INPUT_IGNORED = 0.01
"""The same for predictions from different draws. Lower, because part of how the data's draws differ is sampling noise
that a good prediction leaves out."""
DEAD_LATENT = 0.01
"""A latent with less than this share of active dimensions has collapsed."""
Reporter = Callable[[int, int, str], None]
"""Called once per epoch with (epochs done, most epochs, text)."""


@dataclass(frozen=True)
class Epoch:
    """One epoch in the history; epoch 0 is the state before training."""

    number: int
    """Epoch, from 1; 0 before training."""
    losses: Mapping[str, float]
    """Mean of each unweighted loss term over the epoch, and of the gradient norms; empty for epoch 0."""
    validation: Report
    """Validation errors and signs of collapse after the epoch."""
    seconds: float
    """Wall time since the stage began; where it was interrupted, the time between is left out."""


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

    @property
    def name(self) -> str:
        """The stage, with its context if it has one."""
        return f"{self.stage} {self.context}" if self.context else self.stage

    @property
    def best(self) -> Report:
        """Validation figures of the weights that were kept."""
        return self.epochs[self.best_epoch].validation

    def warnings(self) -> list[str]:
        """Problems of the weights that were kept, in words; empty if none was found."""
        best, trivial, found = self.best, self.references, []
        if self.best_epoch == 0:
            found.append("no epoch had a lower validation error than the weights training started from: they were kept")
        for direction in ("n2p", "p2n"):
            error = getattr(best.errors, direction)
            for name, errors in (("copying the input", trivial.copy), ("adding the mean effect", trivial.mean_effect)):
                if error >= (other := getattr(errors, direction)):
                    found.append(
                        f"the validation error of {direction}, {error:.4g}, is not below that of {name}, {other:.4g}"
                    )
        found += [
            f"{latent} is collapsed: {share:.0%} of its dimensions are active, the decoder cannot read the input from it"
            for latent, share in best.active.items()
            if share < DEAD_LATENT
        ]
        if best.spread < MODE_COLLAPSE * trivial.spread:
            found.append(
                f"mode collapse: n2p predictions of different perturbations differ by {best.spread:.2g} log2 units, the "
                f"data's by {trivial.spread:.2g}"
            )
        for direction in ("n2p", "p2n"):
            made, true = best.draw_spread[direction], trivial.draw_spread[direction]
            if made < INPUT_IGNORED * true:
                found.append(
                    f"{direction} ignores its input: predictions from different draws of a condition differ by {made:.2g} "
                    f"log2 units, the data's by {true:.2g}"
                )
        return found

    def table(self) -> pd.DataFrame:
        """One row an epoch: losses, validation errors and their references, signs of collapse, seconds."""
        rows = [
            {
                "epoch": epoch.number,
                "kept": epoch.number == self.best_epoch,
                "seconds": epoch.seconds,
                "loss": dict(epoch.losses),
                "validation": asdict(epoch.validation),
                "reference": asdict(self.references),
            }
            for epoch in self.epochs
        ]
        return pd.json_normalize(rows)


def line(history: History, total: int) -> str:
    """Summarise the last epoch: time, validation errors and those of copying the input."""
    last, copy, when = history.epochs[-1], history.references.copy, "not trained yet"
    if last.number:
        each = last.seconds / last.number
        left = timedelta(seconds=round(each * (total - last.number)))
        when = f"epoch {last.number}/{total}, {each:.1f} s an epoch, {left} left"
    errors = last.validation.errors
    return f"{history.name}: {when}; validation error n2p {errors.n2p:.4f} (copy {copy.n2p:.4f}), p2n {errors.p2n:.4f} (copy {copy.p2n:.4f})"


@contextmanager
def watching(report: Reporter, total: int, log: Path | None, first_epoch: int) -> Iterator[Callable[[History], None]]:
    """Yield a function that publishes the last epoch of a history: to `report`, and to TensorBoard if `log` is a folder.

    Records of an interrupted training from `first_epoch` on are hidden.
    """
    writer = None
    if log is not None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                f"A log folder is given ('{log}'), but TensorBoard is not installed ({error}). Install the extra "
                "'tensorboard' of this package (pip install '.[tensorboard]'), or give no log folder."
            ) from error
        writer = SummaryWriter(str(log), purge_step=first_epoch)

    def publish(history: History) -> None:
        number = history.epochs[-1].number
        if writer is not None:
            for name, value in history.table().iloc[-1].drop(["epoch", "kept"]).items():
                writer.add_scalar(f"{history.name}/{name}".replace(" ", "_"), float(value), number)
            writer.flush()
        report(number, total, line(history, total))

    try:
        yield publish
    finally:
        if writer is not None:
            writer.close()
