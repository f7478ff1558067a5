"""Conditions: a perturbation in a context at a dose; how cells are grouped by them, and which of them are tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

MIN_CELLS = 20
"""A condition with fewer cells is trained on but never tested."""
Index = np.ndarray
Pair = tuple[str, str]
"""(context, perturbation), at all doses."""


class Condition(NamedTuple):
    """What was done to some cells, and where."""

    context: str
    perturbation: str
    dose: float | None = None
    """nM; None for a perturbation that has none."""

    def __str__(self) -> str:
        """Write it as tables do: context/perturbation, with the dose where there is one."""
        return f"{self.context}/{self.perturbation}" + ("" if self.dose is None else f" {self.dose:g} nM")

    @property
    def order(self) -> tuple[str, str, float]:
        """Key to sort conditions by."""
        return self.context, self.perturbation, self.dose or 0.0

    @property
    def pair(self) -> Pair:
        """Context and perturbation."""
        return self.context, self.perturbation

    @property
    def parts(self) -> list[str]:
        """Parts of a combination; a single perturbation is its only part."""
        return self.perturbation.split("+")


@dataclass(frozen=True)
class Scope:
    """What part of the data is tested, and how much of it at a time; everything else is trained on."""

    contexts_held_out: int = 1
    """`unseen_context`: in how many contexts each perturbation is held out at once."""
    one_context: bool = False
    """`unseen_context`: a fold holds half of the perturbations of ONE context out, and trains on all of the others."""
    perturbations: tuple[str, ...] | None = None
    """Only these are tested; None: all."""
    contexts: tuple[str, ...] | None = None
    """Tested in these contexts only; None: in all."""

    def has(self, context: str, perturbation: str) -> bool:
        """Say whether a condition is in it."""
        return (self.perturbations is None or perturbation in self.perturbations) and (
            self.contexts is None or context in self.contexts
        )


EVERYTHING = Scope()
Conditions = frozenset[Condition]
Groups = Mapping[Condition, Index]
"""Condition → positions of its cells."""


def conditions(obs: pd.DataFrame) -> pd.DataFrame:
    """List testable perturbed conditions (context, perturbation, dose, cells), contexts by falling number of cells.

    The dose is in nM, 0 where there is none.
    """
    sizes = obs["context"].value_counts()
    order = {c: i for i, c in enumerate(sorted(sizes.index, key=lambda c: (-sizes[c], c)))}
    perturbed = obs.loc[~obs["is_control"]]
    keys = [perturbed["context"], perturbed["perturbation"], perturbed["dose"].fillna(0.0)]
    table = perturbed.groupby(keys, observed=True).size().rename("cells").reset_index()
    table = table[table["cells"] >= MIN_CELLS].assign(rank=lambda t: t["context"].map(order))
    return table.sort_values(["rank", "perturbation", "dose"], ignore_index=True)


def groups_of(obs: pd.DataFrame) -> Groups:
    """Map every condition of the data, controls too, to the positions of its cells, ascending."""
    keys = [obs["context"].astype(str), obs["perturbation"].astype(str), obs["dose"].fillna(0.0).astype(float)]
    found = obs.groupby(keys, sort=False).indices
    return {Condition(c, p, dose_of(d)): np.sort(where) for (c, p, d), where in found.items()}


def dose_of(value: float) -> float | None:
    """Read a dose of a table: None where it is NaN or 0."""
    return float(value) if value > 0 else None


def all_of(table: pd.DataFrame) -> list[Condition]:
    """List the rows of a table of conditions."""
    rows = zip(table["context"], table["perturbation"], table["dose"], strict=True)
    return [Condition(str(c), str(p), dose_of(d)) for c, p, d in rows]


def lower_doses(table: pd.DataFrame) -> dict[Condition, float]:
    """Map each condition to the next lower dose in the table of its perturbation in its context, where it has one."""
    ordered = sorted(all_of(table), key=lambda c: c.order)
    return {
        condition: below.dose
        for below, condition in pairwise(ordered)
        if below.pair == condition.pair and below.dose is not None
    }
