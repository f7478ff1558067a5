"""A condition is a perturbation in a context at a dose: how cells are grouped by it, and which conditions are tested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from benchmarks.contract import CONTROL, Direction

if TYPE_CHECKING:
    import pandas as pd

MIN_CELLS = 20
"""A condition with fewer cells is trained on but never tested."""
Table: TypeAlias = "pd.DataFrame"
"""Canonical obs of cells, or the table of conditions that `conditions` makes of it."""
Index = np.ndarray
ROLES = ("control_a", "control_b", "perturbed_a", "perturbed_b")
"""Groups of cells of a condition that is tested."""


class Condition(NamedTuple):
    """Label of a group of cells."""

    context: str
    perturbation: str
    dose: float | None = None
    """nM; None for a perturbation that has none."""

    def __str__(self) -> str:
        """Return context/perturbation, and the dose if there is one."""
        return f"{self.context}/{self.perturbation}" + ("" if self.dose is None else f" {self.dose:g} nM")

    @property
    def order(self) -> tuple[str, str, float]:
        """Key to sort conditions by."""
        return self.context, self.perturbation, self.dose or 0.0

    @property
    def pair(self) -> tuple[str, str]:
        """Context and perturbation, at all doses."""
        return self.context, self.perturbation

    @property
    def parts(self) -> list[str]:
        """Perturbations of a combination; a single perturbation is its only part."""
        return self.perturbation.split("+")


@dataclass(frozen=True)
class TestCondition:
    """A condition that a fold tests, with its cells: sorted positions in the data set, no cell in two of the groups."""

    __test__ = False

    context: str
    perturbation: str
    control_a: Index
    """Cells of the start state: controls, or cells at `start_dose`."""
    control_b: Index
    perturbed_a: Index
    perturbed_b: Index
    dose: float | None = None
    """nM; None for a perturbation without doses."""
    start_dose: float | None = None
    """nM; None: the start state is the controls."""

    @property
    def condition(self) -> Condition:
        """Label of the perturbed cells."""
        return Condition(self.context, self.perturbation, self.dose)

    @property
    def dose_words(self) -> tuple[str, ...]:
        """The dose as part of a seed; empty without a dose."""
        return () if self.dose is None else (f"{self.dose:g} nM",)

    def input(self, direction: Direction) -> Index:
        """Cells that a prediction starts from."""
        return self.control_a if direction == "n2p" else self.perturbed_a

    def reference(self, direction: Direction) -> Index:
        """Cells of the same population as the input; only scoring reads them."""
        return self.control_b if direction == "n2p" else self.perturbed_b

    def truth(self, direction: Direction) -> Index:
        """Cells that a prediction is compared with."""
        parts = (self.perturbed_a, self.perturbed_b) if direction == "n2p" else (self.control_a, self.control_b)
        return np.sort(np.concatenate(parts))

    def doses(self, direction: Direction) -> tuple[float | None, float | None]:
        """Doses of the input and of the truth, nM; None for controls and for perturbations without doses."""
        return (self.start_dose, self.dose) if direction == "n2p" else (self.dose, self.start_dose)


@dataclass(frozen=True)
class Scope:
    """Which conditions may be tested, and how many at a time."""

    contexts_held_out: int = 1
    """`unseen_context`: number of contexts in which each perturbation is held out in one fold."""
    one_context: bool = False
    """`unseen_context`: a fold holds out half of the perturbations of one context and trains on the other contexts."""
    perturbations: tuple[str, ...] | None = None
    """None: all."""
    contexts: tuple[str, ...] | None = None
    """None: all."""

    def has(self, context: str, perturbation: str) -> bool:
        """Return whether a condition may be tested."""
        known = (self.perturbations, perturbation), (self.contexts, context)
        return all(allowed is None or name in allowed for allowed, name in known)


EVERYTHING = Scope()
Groups = Mapping[Condition, Index]
"""Condition → positions of its cells, ascending."""


def conditions(obs: Table) -> Table:
    """List perturbed conditions with at least `MIN_CELLS` cells, those of the largest context first.

    Columns: context, perturbation, dose (nM; 0 for none), cells, rank (of the context by its number of cells).
    """
    sizes = obs["context"].value_counts()
    order = {c: i for i, c in enumerate(sorted(sizes.index, key=lambda c: (-sizes[c], c)))}
    perturbed = obs.loc[~obs["is_control"]]
    keys = [perturbed["context"], perturbed["perturbation"], perturbed["dose"].fillna(0.0)]
    table = perturbed.groupby(keys, observed=True).size().rename("cells").reset_index()
    table = table[table["cells"] >= MIN_CELLS].assign(rank=lambda t: t["context"].map(order))
    return table.sort_values(["rank", "perturbation", "dose"], ignore_index=True)


def tell_untested(obs: Table, tested: Iterable[Condition]) -> list[str]:
    """Name the conditions, contexts and perturbations of the data that no fold of a run tests, with numbers and reasons."""
    found, own = set(tested), {c: len(where) for c, where in groups_of(obs).items() if c.perturbation != CONTROL}
    few = sorted({c.perturbation for c, n in own.items() if n < MIN_CELLS})
    n_few = sum(n < MIN_CELLS for n in own.values())
    contexts = sorted(set(obs["context"].astype(str)) - {c.context for c in found})
    left = sorted({c.perturbation for c in own} - {c.perturbation for c in found})
    notes = [
        (
            n_few,
            f"{n_few} of {len(own)} conditions have fewer than {MIN_CELLS} cells and are never tested: {_some(few)}.",
        ),
        (len(contexts), f"No condition is tested in {len(contexts)} of the contexts: {_some(contexts)}."),
        (
            len(left),
            f"{len(left)} of {len({c.perturbation for c in own})} perturbations are not tested in this run, for they have too "
            f"few cells, are in one context only, or are in other folds (--folds): {_some(left)}.",
        ),
    ]
    return [text for n, text in notes if n]


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")


def groups_of(obs: Table) -> Groups:
    """Map every condition of the data, controls included, to its cells."""
    keys = [obs["context"].astype(str), obs["perturbation"].astype(str), obs["dose"].fillna(0.0).astype(float)]
    found = obs.groupby(keys, sort=False).indices
    return {Condition(c, p, dose_of(d)): np.sort(where) for (c, p, d), where in found.items()}


def dose_of(value: float) -> float | None:
    """Convert a dose of a table, where NaN or 0 means none."""
    return float(value) if value > 0 else None


def all_of(table: Table) -> list[Condition]:
    """Convert the rows of a table of conditions."""
    rows = zip(table["context"], table["perturbation"], table["dose"], strict=True)
    return [Condition(str(c), str(p), dose_of(d)) for c, p, d in rows]


def lower_doses(table: Table) -> dict[Condition, float]:
    """Map each condition to the next lower dose of the same perturbation and context, if the table has one."""
    pairs = pairwise(sorted(all_of(table), key=lambda c: c.order))
    return {c: below.dose for below, c in pairs if below.pair == c.pair and below.dose is not None}
