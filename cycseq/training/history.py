"""The history of a stage of training: losses and validation figures of every epoch, and warnings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from cycseq.training.validation import References, Report

MODE_COLLAPSE = 0.05
"""Predictions of different perturbations that differ by less than this share of what the data's do are all the same."""
INPUT_IGNORED = 0.01
"""The same for predictions from different draws. Lower, because part of how the data's draws differ is sampling noise
that a good prediction leaves out."""
DEAD_LATENT = 0.01
"""A latent with less than this share of active dimensions has collapsed."""


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
        return [*self._no_gain(), *self._dead_latents(), *self._modes(), *self._ignored_input()]

    def table(self) -> pd.DataFrame:
        """One row an epoch: losses, validation errors and their references, signs of collapse, seconds."""
        fixed = _columns("reference", asdict(self.references))
        rows = [
            {"epoch": epoch.number, "kept": epoch.number == self.best_epoch, "seconds": epoch.seconds}
            | _columns("loss", epoch.losses)
            | _columns("validation", asdict(epoch.validation))
            | fixed
            for epoch in self.epochs
        ]
        return pd.DataFrame(rows)

    def _no_gain(self) -> list[str]:
        found = []
        if self.best_epoch == 0:
            found.append("no epoch had a lower validation error than the weights training started from: they were kept")
        trivial = {"copying the input": self.references.copy, "adding the mean effect": self.references.mean_effect}
        for direction in ("n2p", "p2n"):
            error = getattr(self.best.errors, direction)
            for name, errors in trivial.items():
                reference = getattr(errors, direction)
                if error >= reference:
                    found.append(
                        f"the validation error of {direction}, {error:.4g}, is not below that of {name}, {reference:.4g}"
                    )
        return found

    def _dead_latents(self) -> list[str]:
        return [
            f"{latent} is collapsed: {share:.0%} of its dimensions are active, the decoder cannot read the input from it"
            for latent, share in self.best.active.items()
            if share < DEAD_LATENT
        ]

    def _modes(self) -> list[str]:
        made, true = self.best.spread, self.references.spread
        if not made < MODE_COLLAPSE * true:
            return []
        return [
            f"mode collapse: n2p predictions of different perturbations differ by {made:.2g} log2 units, the data's by "
            f"{true:.2g}"
        ]

    def _ignored_input(self) -> list[str]:
        return [
            f"{direction} ignores its input: predictions from different draws of a condition differ by {made:.2g} log2 "
            f"units, the data's by {true:.2g}"
            for direction, made, true in (
                (name, self.best.draw_spread[name], self.references.draw_spread[name]) for name in ("n2p", "p2n")
            )
            if made < INPUT_IGNORED * true
        ]


def to_json(history: History) -> str:
    """Write a history as JSON; numbers come back exactly."""
    return json.dumps(asdict(history))


def from_json(text: str) -> History:
    """Read what `to_json` wrote."""
    return TypeAdapter(History).validate_json(text)


def _columns(prefix: str, values: Mapping[str, Any]) -> dict[str, float]:
    """Flatten nested records: "validation.errors.n2p" …"""
    found: dict[str, float] = {}
    for name, value in values.items():
        found |= _columns(f"{prefix}.{name}", value) if isinstance(value, Mapping) else {f"{prefix}.{name}": value}
    return found
