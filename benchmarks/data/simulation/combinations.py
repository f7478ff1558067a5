"""Combinations of two perturbed genes, with and without interaction.

The model's response is linear, so a pair without interaction changes ln expression by the sum of its parts; the kinds of
interaction follow the classes that Norman et al. 2019 (doi:10.1126/science.aax4438) found by fitting a pair's change
with those of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np

from benchmarks.data.schema import condition_name
from benchmarks.data.simulation.design import SimulatedState
from benchmarks.errors import DataError

KINDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"additive": (1.0, 1.0), "synergy": (1.6, 1.6), "buffering": (0.5, 0.5), "epistasis": (1.0, 0.1), "new": (1.0, 1.0)}
)
"""Kind of interaction → weights of the two parts; "new" also pushes a module of its own."""
PUSH = 1.5
"""ln push on that module's hub."""


@dataclass(frozen=True)
class Pairs:
    """Combinations and the truth about them."""

    conditions: tuple[SimulatedState, ...]
    kinds: Mapping[str, str]
    """Combination → kind of interaction: for tests and references, never for a predictor."""


def draw_pairs(
    rng: np.random.Generator, targets: Sequence[str], n: int, *, interacting: float = 0.5, n_modules: int = 24
) -> Pairs:
    """Draw n different pairs of targets; a share of them interacts, evenly over the kinds.

    Parameters
    ----------
    targets
        Names of the targets, in the order of the design.
    interacting
        Share of pairs that are not additive: 0 gives a screen of sums.
    n_modules
        Modules of the design.

    Raises
    ------
    DataError
        More pairs than there are, or a share outside 0 to 1.
    """
    every = list(combinations(range(len(targets)), 2))
    if not 0 <= n <= len(every) or not 0 <= interacting <= 1:
        raise DataError(
            f"{n} pairs of {len(targets)} targets, {interacting} of them interacting; expected at most {len(every)} pairs "
            "and a share from 0 to 1."
        )
    n_interacting = round(interacting * n)
    others = [kind for kind in KINDS if kind != "additive"]
    kinds = rng.permutation(
        [others[i % len(others)] for i in range(n_interacting)] + ["additive"] * (n - n_interacting)
    )
    conditions, labels = [], {}
    for chosen, kind in zip(rng.choice(len(every), n, replace=False), kinds, strict=True):
        a, b = rng.permutation(every[chosen])  # which of the two is the stronger under epistasis
        first, second = KINDS[kind]
        name = condition_name(f"{targets[a]}+{targets[b]}")
        push = (int(rng.integers(n_modules)), PUSH) if kind == "new" else None
        conditions.append(SimulatedState(name, ((int(a), first), (int(b), second)), push=push))
        labels[name] = str(kind)
    return Pairs(tuple(conditions), MappingProxyType(labels))
