"""What a large simulated screen is to hold: contexts, perturbed genes, conditions, sizes. Constants, nothing drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.contract import CONTROL
from benchmarks.data.schema import condition_name
from benchmarks.errors import DataError

LEAST_COUNTS = 60
"""Median counts of a cell: with fewer, cells without any count would turn up."""


@dataclass(frozen=True)
class SimulatedState:
    """One perturbed state of a screen: its targets, how strongly each is acted on, and what they do only together."""

    perturbation: str
    """Label: a gene, a compound, or a combination "A+B"."""
    parts: tuple[tuple[int, float], ...]
    """(number of the target, weight): the weight multiplies the target's response; 1 is its full perturbation."""
    dose: float = math.nan
    """nM; NaN for none."""
    push: tuple[int, float] | None = None
    """(module, ln push on its hub): what a combination does beyond its parts."""


@dataclass(frozen=True)
class Design:
    """A screen of any size; what is not said here is drawn (`world.py`)."""

    contexts: tuple[str, ...]
    """Names of the contexts."""
    targets: tuple[str, ...]
    """Names of the genes acted on; all are measured."""
    conditions: tuple[SimulatedState, ...]
    """Every perturbed condition; each is in every context."""
    n_genes: int = 1000
    """Genes measured."""
    n_modules: int = 24
    """Regulatory modules; every gene is in one to three."""
    replicates: int = 2
    """Batches of each context; every condition is spread evenly over them."""
    cells: float = 100.0
    """Median cells of a condition in a context."""
    cells_sd: float = 0.0
    """Standard deviation of ln cells: 0 gives every condition the same, 0.5 or more a long tail."""
    least_cells: int = 8
    """No condition has fewer cells."""
    control_cells: int = 400
    """Control cells of a context."""
    counts_per_gene: float = 1.2
    """Median counts of a cell over the number of genes."""
    depth_sd: float = 0.35
    """Standard deviation of a cell's ln depth."""
    dispersion: tuple[float, float] = (0.1, 0.4)
    """Negative binomial dispersion at mean count m: first + second / sqrt(m), times log-normal gene noise of sd 0.3."""
    activity: float = -1.5
    """Change of a target's ln activity at weight 1: negative for knock-out, interference and inhibitors."""
    holds_target: bool = True
    """Whether the target's own expression changes by `activity` too: a knock-out does, an inhibitor does not."""
    reach: float = 3.0
    """Largest weight of a target's edges; the weights of the targets run from 0 to this, evenly in their cube root."""
    strengths: Mapping[str, float] = field(default_factory=dict)
    """Target → weight of its edges, where it is set and not drawn; such a target is active in every context."""
    inactive: float = 0.15
    """Probability that a target reaches nothing beyond itself in a context."""
    escape: tuple[float, float] = (0.05, 0.4)
    """Range of the share of a target's cells that escape: no effect, but stress all the same."""
    stress: float = 0.1
    """Scale of the stress programme's ln fold changes, in every perturbed cell."""
    batch_sd: float = 0.08
    """Standard deviation of a replicate's ln shift, gene by gene."""
    annotation_noise: float = 0.1
    """Share of true gene-module terms missing from the annotation, and of false ones in it."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.targets) <= self.n_genes // 2:
            raise DataError(
                f"Design has {len(self.targets)} targets and {self.n_genes} genes; expected at least 1 target and at "
                f"most half of the genes ({self.n_genes // 2})."
            )
        if self.n_modules < 6 or self.replicates < 1 or not self.contexts or not self.conditions:
            raise DataError(
                f"Design has {self.n_modules} modules, {self.replicates} replicates, {len(self.contexts)} contexts and "
                f"{len(self.conditions)} conditions; expected at least 6, 1, 1 and 1."
            )
        if min(self.least_cells, self.control_cells) < 1 or not self.cells > 0 or self.cells_sd < 0:
            raise DataError(
                f"Design asks for {self.cells} cells a condition (sd {self.cells_sd}, at least {self.least_cells}) and "
                f"{self.control_cells} controls; expected positive numbers and a spread that is not negative."
            )
        if self.counts_per_gene * self.n_genes < LEAST_COUNTS:
            raise DataError(
                f"Design asks for {self.counts_per_gene} counts a gene and {self.n_genes} genes; expected at least "
                f"{LEAST_COUNTS} counts a cell, so that no cell is empty."
            )
        for kind, names in (("context", self.contexts), ("target", self.targets)):
            if len(set(names)) < len(names):
                raise DataError(f"Design names a {kind} twice: {', '.join(names)}; give every {kind} its own name.")
        unknown = sorted(set(self.strengths) - set(self.targets))
        if unknown:
            raise DataError(f"Design.strengths names {', '.join(unknown)}; expected names of its targets.")
        self._check_conditions()

    def _check_conditions(self) -> None:
        seen = set()
        for condition in self.conditions:
            name, numbers = condition.perturbation, [number for number, _ in condition.parts]
            if name != condition_name(name) or name == CONTROL:
                raise DataError(
                    f"Condition '{name}' has no canonical name; expected '{condition_name(name)}', and not '{CONTROL}'."
                )
            if not numbers or not all(0 <= number < len(self.targets) for number in numbers):
                raise DataError(
                    f"Condition '{name}' acts on targets {numbers}; expected numbers from 0 to {len(self.targets) - 1}."
                )
            if condition.push is not None and not 0 <= condition.push[0] < self.n_modules:
                raise DataError(
                    f"Condition '{name}' pushes module {condition.push[0]}; expected 0 to {self.n_modules - 1}."
                )
            key = (name, f"{condition.dose:g}")
            if key in seen:
                raise DataError(
                    f"Condition '{name}' is in the design twice (dose {condition.dose:g} nM); list it once."
                )
            seen.add(key)


def singles(targets: tuple[str, ...]) -> tuple[SimulatedState, ...]:
    """One condition for each target: its full perturbation, under the target's name."""
    return tuple(SimulatedState(name, ((number, 1.0),)) for number, name in enumerate(targets))


def numbered(prefix: str, n: int, first: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Give n names: those of `first`, then prefix and number."""
    width = max(3, len(str(n)))
    return (*first[:n], *(f"{prefix}{i + 1:0{width}d}" for i in range(len(first), n)))
