"""What the user asked for; everything else follows from it and from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from benchmarks.data.expression_space import SpaceChoice
from benchmarks.data.own_file import OwnFile
from benchmarks.tasks.batch_correction.batches import Method

Preset = Literal["quick", "paper"]
ControlRule = Literal["nontargeting", "nk"]
CONTROL_RULES: tuple[ControlRule, ...] = get_args(ControlRule)


@dataclass(frozen=True)
class Question:
    """One run's wishes."""

    suite: str
    models: tuple[str, ...] = ()
    """Empty: the suite's own list."""
    protocol: str | None = None
    directions: tuple[str, ...] = ()
    perturbations: tuple[str, ...] = ()
    """Perturbations that are tested, or one named set of the data set's card; empty: the suite's."""
    contexts: tuple[str, ...] = ()
    """Contexts in which they are tested; empty: the set's, or all."""
    control_rule: ControlRule = "nontargeting"
    data: Literal["auto", "real", "simulated"] = "auto"
    own: OwnFile | None = None
    """A file of the user's own, which takes the place of a suite."""
    data_dir: Path | None = None
    annotation: Path | None = None
    space: SpaceChoice = "cp10k"
    integration: Method = "none"
    reference: str | None = None
    """Batch that the others are brought to; None: the one with the most controls."""
    measured_only: bool = False
    """Keep only perturbations whose genes are measured."""
    seeds: int = 1
    folds: int | None = None
    """Number of folds; None: the preset's."""
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Model → its settings from `--set`."""
    preset: Preset = "quick"
    plugins: tuple[Path, ...] = ()
    base_seed: int = 0
    device: str = "cpu"
    threads: int = 1
