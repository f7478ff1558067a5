"""What a run asks. How it is executed is `benchmarks.execution.executor.Execution`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

from benchmarks.data.expression_space import SpaceChoice
from benchmarks.data.own_file import OwnFile
from benchmarks.tasks.batch_correction.batches import Method
from benchmarks.tasks.protocol import INPUT_CELLS

Preset = Literal["quick", "paper"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
DataSource = Literal["auto", "real", "simulated"]
DATA_SOURCES: tuple[DataSource, ...] = get_args(DataSource)
SPACES: tuple[SpaceChoice, ...] = get_args(SpaceChoice)
ControlRule = Literal["nontargeting", "nk"]
CONTROL_RULES: tuple[ControlRule, ...] = get_args(ControlRule)
GROWS = {"grows": True}
"""Metadata of the fields that a resumed run may change: each training that they concern has a key of its own."""


@dataclass(frozen=True)
class Question:
    """Data, protocol and models of one run. Whatever changes a result is here, and nothing else is."""

    suite: str
    models: tuple[str, ...] = field(default=(), metadata=GROWS)
    """Empty: the suite's own list."""
    protocol: str | None = None
    """None: the suite's, or the first that the data allow."""
    directions: tuple[str, ...] = field(default=(), metadata=GROWS)
    perturbations: tuple[str, ...] = ()
    """Perturbations that are tested, or one named set of the data set's card; empty: the suite's."""
    contexts: tuple[str, ...] = ()
    """Contexts in which they are tested; empty: the set's, or all."""
    control_rule: ControlRule = "nontargeting"
    data: DataSource = "auto"
    own: OwnFile | None = None
    """A user's own file, in place of a suite."""
    annotation: Path | None = None
    """File of gene annotation, in place of the data set's."""
    space: SpaceChoice = "cp10k"
    integration: Method = "none"
    reference: str | None = None
    """Batch that the others are corrected to; None: the one with the most controls."""
    measured_only: bool = False
    """Keep only perturbations whose genes are measured."""
    seeds: int = field(default=1, metadata=GROWS)
    folds: int | None = field(default=None, metadata=GROWS)
    """Number of folds; None: the preset's."""
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict, metadata=GROWS)
    """Model → its settings from `--set`."""
    preset: Preset = "quick"
    plugins: tuple[Path, ...] = field(default=(), metadata=GROWS)
    base_seed: int = 0
    input_cells: int = INPUT_CELLS
    """Most cells that a prediction starts from."""

    def fixed(self) -> dict[str, object]:
        """Fields that a run keeps when it is resumed; those that may grow are left out."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata.get("grows")}


def content_key(content: object) -> str:
    """Hash anything that can be written as JSON; other values count as their text."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
