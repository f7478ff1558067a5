"""What a large simulated screen is to hold: contexts, perturbed genes, conditions, sizes. Constants, nothing drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.contract import CONTROL
from benchmarks.data.schema import condition_name
from benchmarks.data.simulation.perturbed_states import SimulatedState
from benchmarks.errors import DataError

LEAST_COUNTS = 60
"""Median counts of a cell: with fewer, cells without any count would turn up."""


def require(what: str, expected: Mapping[str, bool]) -> None:
    """Raise `DataError` for the first expectation that does not hold."""
    for text, holds in expected.items():
        if not holds:
            raise DataError(f"{what} makes no screen; expected {text}.")


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
        n_targets, states = len(self.targets), [(c.perturbation, f"{c.dose:g}") for c in self.conditions]
        require(
            "Design",
            {
                "at least 1 target, and at most half of the genes": 1 <= n_targets <= self.n_genes // 2,
                "at least 6 modules and 1 replicate": self.n_modules >= 6 and self.replicates >= 1,
                "at least 1 context and 1 condition": bool(self.contexts and self.conditions),
                "positive numbers of cells": min(self.least_cells, self.control_cells) >= 1 and self.cells > 0,
                "a spread of cells that is not negative": self.cells_sd >= 0,
                f"{LEAST_COUNTS} counts a cell, so that none is empty": self.counts_per_gene * self.n_genes
                >= LEAST_COUNTS,
                "every context once": len(set(self.contexts)) == len(self.contexts),
                "every target once": len(set(self.targets)) == n_targets,
                "strengths of its targets only": set(self.strengths) <= set(self.targets),
                "every condition once": len(set(states)) == len(states),
            },
        )
        for condition in self.conditions:
            name, push = condition.perturbation, condition.push
            numbers = [number for number, _ in condition.parts]
            require(
                f"Condition '{name}'",
                {
                    f"the name '{condition_name(name)}'": name == condition_name(name),
                    f"another name than '{CONTROL}'": name != CONTROL,
                    f"targets from 0 to {n_targets - 1}": bool(numbers)
                    and 0 <= min(numbers) <= max(numbers) < n_targets,
                    f"a module from 0 to {self.n_modules - 1}": push is None or 0 <= push[0] < self.n_modules,
                },
            )
