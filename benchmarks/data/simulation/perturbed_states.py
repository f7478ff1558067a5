"""Perturbed states of a screen: single targets, combinations of two with and without interaction, compounds at doses.

The model's response is linear, so a pair without interaction changes ln expression by the sum of its parts; the kinds of
interaction follow the classes that Norman et al. 2019 (doi:10.1126/science.aax4438) found by fitting a pair's change
with those of its parts. A compound inhibits some targets, by a Hill curve each.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np

from benchmarks.data.schema import condition_name
from benchmarks.errors import DataError

KINDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"additive": (1.0, 1.0), "synergy": (1.6, 1.6), "buffering": (0.5, 0.5), "epistasis": (1.0, 0.1), "new": (1.0, 1.0)}
)
"""Kind of interaction → weights of the two parts; "new" also pushes a module of its own."""
PUSH = 1.5
"""ln push on that module's hub."""
DOSES_NM = (10.0, 100.0, 1_000.0, 10_000.0)
"""The four doses of sci-Plex 3, nM. Source: Srivatsan et al. 2020, doi:10.1126/science.aax6234."""


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
class Pairs:
    """Combinations and the truth about them."""

    conditions: tuple[SimulatedState, ...]
    kinds: Mapping[str, str]
    """Combination → kind of interaction: for tests and references, never for a predictor."""


@dataclass(frozen=True)
class Hill:
    """How one target answers one compound: top × dose^slope / (half^slope + dose^slope)."""

    target: int
    """Number of the target."""
    top: float
    """Share of the target's full response that no dose goes beyond, 0 to 1."""
    half: float
    """Dose of half the top response, nM (EC50)."""
    slope: float
    """Hill coefficient."""

    def __call__(self, dose: float) -> float:
        """Share of the target's full response at a dose in nM; 0 at dose 0."""
        reached = dose**self.slope
        return float(self.top * reached / (self.half**self.slope + reached))


def numbered(prefix: str, n: int, first: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Give n names: those of `first`, then prefix and number."""
    width = max(3, len(str(n)))
    return (*first[:n], *(f"{prefix}{i + 1:0{width}d}" for i in range(len(first), n)))


def singles(targets: tuple[str, ...]) -> tuple[SimulatedState, ...]:
    """One condition for each target: its full perturbation, under the target's name."""
    return tuple(SimulatedState(name, ((number, 1.0),)) for number, name in enumerate(targets))


def draw_pairs(
    rng: np.random.Generator, targets: Sequence[str], n: int, *, interacting: float = 0.5, n_modules: int = 24
) -> Pairs:
    """Draw n different pairs of targets (names, in the design's order); raises `DataError` if there are not as many.

    `interacting` is the share of pairs that are not additive, evenly over the kinds: 0 gives a screen of sums. `n_modules`
    are the design's.
    """
    every = list(combinations(range(len(targets)), 2))
    if n > len(every):
        raise DataError(f"{n} pairs of {len(targets)} targets; expected at most {len(every)} pairs.")
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


def draw_compounds(
    rng: np.random.Generator,
    names: Sequence[str],
    n_targets: int,
    *,
    inactive: float = 0.3,
    active: Collection[str] = (),
) -> dict[str, tuple[Hill, ...]]:
    """Draw each compound's curves: one main target, shared with other compounds, and up to two weaker ones.

    Parameters
    ----------
    inactive
        Share of compounds whose main target needs more than the highest dose (half at 100 µM): most drugs of a screen do
        little at the doses given.
    active
        Compounds whose main target answers most between the two highest doses (half at 0.6 to 6 µM): those that a suite
        tests at the highest dose, where a compound that is saturated or does nothing could not rank models.
    """
    main = rng.permutation(np.arange(len(names)) % n_targets)
    compounds = {}
    for name, target in zip(names, main, strict=True):
        others = rng.choice(np.delete(np.arange(n_targets), target), rng.integers(0, min(3, n_targets)), replace=False)
        half = 1e5 if rng.random() < inactive else 10 ** rng.uniform(1.5, 3.5)
        half = 10 ** rng.uniform(2.8, 3.8) if name in active else half
        curves = [Hill(int(target), float(rng.uniform(0.7, 1.0)), float(half), float(rng.uniform(0.7, 2.5)))]
        for other in others:
            top, weaker = rng.uniform(0.2, 0.7), half * 10 ** rng.uniform(0.5, 1.5)
            curves.append(Hill(int(other), float(top), float(weaker), float(rng.uniform(0.7, 2.5))))
        compounds[name] = tuple(curves)
    return compounds


def dosed(compounds: dict[str, tuple[Hill, ...]], doses: Sequence[float] = DOSES_NM) -> tuple[SimulatedState, ...]:
    """Make one condition for each compound and dose (nM)."""
    return tuple(
        SimulatedState(name, tuple((curve.target, curve(dose)) for curve in curves), dose)
        for name, curves in compounds.items()
        for dose in doses
    )
