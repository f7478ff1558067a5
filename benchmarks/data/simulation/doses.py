"""Compounds: which targets each inhibits, and by how much at each dose (Hill curves)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.data.simulation.design import SimulatedState
from benchmarks.errors import DataError

DOSES_NM = (10.0, 100.0, 1_000.0, 10_000.0)
"""The four doses of sci-Plex 3, nM. Source: Srivatsan et al. 2020, doi:10.1126/science.aax6234."""


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

    def __post_init__(self) -> None:
        if not (self.half > 0 and self.slope > 0 and 0 <= self.top <= 1):
            raise DataError(
                f"Hill curve has half {self.half} nM, slope {self.slope} and top {self.top}; expected the first two above "
                "0 and the top from 0 to 1."
            )

    def __call__(self, dose: float) -> float:
        """Share of the target's full response at a dose in nM; 0 at dose 0."""
        reached = dose**self.slope
        return float(self.top * reached / (self.half**self.slope + reached))


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
    names
        Names of the compounds.
    n_targets
        Number of targets to choose among.
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
        curves += [
            Hill(
                int(t),
                float(rng.uniform(0.2, 0.7)),
                float(half * 10 ** rng.uniform(0.5, 1.5)),
                float(rng.uniform(0.7, 2.5)),
            )
            for t in others
        ]
        compounds[name] = tuple(curves)
    return compounds


def dosed(compounds: dict[str, tuple[Hill, ...]], doses: Sequence[float] = DOSES_NM) -> tuple[SimulatedState, ...]:
    """Make one condition for each compound and dose (nM)."""
    return tuple(
        SimulatedState(name, tuple((curve.target, curve(dose)) for curve in curves), dose)
        for name, curves in compounds.items()
        for dose in doses
    )
