"""Splits: who is trained on, who is asked about, and who is the truth.

Every test condition gets four disjoint groups of cells: two of the state it starts from (control A, B) and two of perturbed
cells (A, B). The start is the controls; where a dose is raised it is the same compound's cells at the lower dose.
n2p starts from controls A, is referred to controls B, and its truth is all perturbed test cells; p2n starts from perturbed
cells A, is referred to perturbed B, and its truth is all test controls. So one training serves both directions, and input,
reference, truth and training never share a cell (except under `resampled`, the paper's protocol, which is marked leaky).
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL, Direction
from benchmarks.errors import DataError
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import (
    EVERYTHING,
    MIN_CELLS,
    Condition,
    Conditions,
    Groups,
    Index,
    Scope,
    conditions,
    groups_of,
    lower_doses,
)
from benchmarks.tasks.protocols import Hidden, Protocol, find_protocol

DRAW_CELLS = 50
"""Cells in one draw of the paper (c_s), used by `resampled`."""
MIN_START = 6
"""Fewest cells of a start state: a third each is trained on, input and reference."""
ROLES = ("control_a", "control_b", "perturbed_a", "perturbed_b")
Key = TypeVar("Key", bound=Hashable)
Halves = tuple[Index, Index]


@dataclass(frozen=True)
class TestCondition:
    """One condition to be predicted; the arrays are positions in the data set's cells."""

    __test__ = False

    context: str
    perturbation: str
    control_a: Index
    """Cells of the state it starts from: controls or, with a `start_dose`, cells at that dose."""
    control_b: Index
    perturbed_a: Index
    perturbed_b: Index
    dose: float | None = None
    """nM; None for a perturbation that has none."""
    start_dose: float | None = None
    """nM; None: it starts from controls."""

    @property
    def condition(self) -> Condition:
        """What was done to its perturbed cells."""
        return Condition(self.context, self.perturbation, self.dose)

    @property
    def dose_words(self) -> tuple[str, ...]:
        """What a seed's words name it by beside context and perturbation; nothing without a dose."""
        return () if self.dose is None else (f"{self.dose:g} nM",)

    def input(self, direction: Direction) -> Index:
        """Cells the prediction starts from."""
        return self.control_a if direction == "n2p" else self.perturbed_a

    def reference(self, direction: Direction) -> Index:
        """Cells of the input's population, withheld from `fit` and `Query`."""
        return self.control_b if direction == "n2p" else self.perturbed_b

    def truth(self, direction: Direction) -> Index:
        """Cells that a prediction is held against."""
        parts = (self.perturbed_a, self.perturbed_b) if direction == "n2p" else (self.control_a, self.control_b)
        return np.sort(np.concatenate(parts))

    def doses(self, direction: Direction) -> tuple[float | None, float | None]:
        """Doses of the input and of the truth, nM; None for controls and where there is none."""
        return (self.start_dose, self.dose) if direction == "n2p" else (self.dose, self.start_dose)


@dataclass(frozen=True)
class Split:
    """One fold of one protocol."""

    protocol: str
    fold: int
    leaky: bool
    train: Index
    conditions: tuple[TestCondition, ...]
    held_out: Conditions
    """Conditions of the data that may not occur in training."""

    @property
    def tested(self) -> Index:
        """Cells that are input, reference or truth of some condition, each once."""
        return np.unique(np.concatenate([getattr(c, role) for c in self.conditions for role in ROLES]))

    def roles(self, names: pd.Index) -> pd.DataFrame:
        """List every cell's role, one row per cell, role and condition; columns of doses only where there are any."""
        rows = [pd.DataFrame({"cell": names[self.train], "role": "train", "context": "", "perturbation": ""})]
        for condition in self.conditions:
            for role in ROLES:
                rows.append(
                    pd.DataFrame(
                        {
                            "cell": names[getattr(condition, role)],
                            "role": role,
                            "context": condition.context,
                            "perturbation": condition.perturbation,
                            **({} if condition.dose is None else {"dose": condition.dose}),
                            **({} if condition.start_dose is None else {"start_dose": condition.start_dose}),
                        }
                    )
                )
        return pd.concat(rows, ignore_index=True)

    def digest(self, names: pd.Index) -> str:
        """Hash who is where, whatever the order of the cells in the file."""
        table = self.roles(names)
        table = table.sort_values(["role", *table.columns.difference(["role", "cell"]), "cell"])
        return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def split(obs: pd.DataFrame, protocol: str, fold: int, *, seed: int = 0, scope: Scope = EVERYTHING) -> Split:
    """Divide cells into training cells and test conditions.

    Parameters
    ----------
    obs
        Canonical obs of the data set's cells.
    protocol, fold
        Which protocol, and which of its folds (from 0).
    seed
        Base seed; the same for every model of a run.
    scope
        What is tested.

    Raises
    ------
    UnknownName, DataError
        No such protocol or fold, or nothing is left to test or to train on.
    """
    kind = find_protocol(protocol)
    table = conditions(obs)
    folds = n_folds(obs, protocol, scope)
    if not 0 <= fold < folds:
        raise DataError(f"Protocol '{protocol}' has folds 0 to {folds - 1} on these data; fold {fold} was asked for.")
    # the order of perturbations is the same in every fold of a protocol, so that folds do not overlap
    tested = kind.hold_out(table, fold, scope, np.random.default_rng(derive(seed, protocol)))
    generator = np.random.default_rng(derive(seed, protocol, fold))
    ordered = sorted(tested, key=lambda c: c.order)
    groups = groups_of(obs)
    if protocol == "resampled":
        return _resampled(obs, groups, ordered, fold, generator)
    if protocol == "low_to_high_dose":
        return _raised(groups, lower_doses(table), ordered, kind.hides(tested), (fold, generator))
    return _from_controls(obs, groups, ordered, kind, (fold, generator))


def n_folds(obs: pd.DataFrame, protocol: str, scope: Scope = EVERYTHING) -> int:
    """Count the folds a protocol has on these cells; raises `DataError` if there is nothing it can test."""
    kind = find_protocol(protocol)
    folds = kind.folds(conditions(obs), scope)
    if not folds:
        chosen = ", ".join((*(scope.perturbations or ()), *(scope.contexts or ())))
        raise DataError(
            f"Protocol '{protocol}' finds no condition to test{f' among {chosen}' if chosen else ''}: it needs "
            f"{kind.needs} with at least {MIN_CELLS} cells each."
        )
    return folds


# --- who is who inside a fold ----------------------------------------------------------------------------------------


def _from_controls(
    obs: pd.DataFrame, groups: Groups, tested: list[Condition], kind: Protocol, draw: tuple[int, np.random.Generator]
) -> Split:
    """Start from controls; under `held_out_cells` half of a condition's cells are tested, else all."""
    fold, generator = draw
    hidden = kind.hides(frozenset(tested))
    controls = _controls(obs)
    own = {c: _control_groups(obs, groups[c]) for c in tested}
    populations = {group: controls[group] for group in sorted({g for names in own.values() for g in names})}
    for (context, _), cells in populations.items():
        if len(cells) < MIN_START:
            raise DataError(
                f"Context {context} has {len(cells)} controls; at least {MIN_START} are needed to keep training, input "
                "and reference apart."
            )
    train, pools = _share(populations, generator)
    train += [where for group, where in controls.items() if group not in populations]
    found, used = [], [np.array([], dtype=int)]
    for condition in tested:
        cells = groups[condition]
        if kind.name == "held_out_cells":
            cells = generator.permutation(cells)[: len(cells) // 2]
        used.append(cells)
        halves = [np.sort(np.concatenate(side)) for side in zip(*(pools[g] for g in own[condition]), strict=True)]
        found.append(_condition(condition, (halves[0], halves[1]), cells, generator))
    held_out = frozenset(c for c in groups if c.perturbation != CONTROL and hidden(c))
    train += [where for c, where in groups.items() if c.perturbation != CONTROL and c not in held_out]
    return Split(kind.name, fold, False, _without(train, used), tuple(found), held_out)


def _raised(
    groups: Groups,
    lower: Mapping[Condition, float],
    tested: list[Condition],
    hidden: Hidden,
    draw: tuple[int, np.random.Generator],
) -> Split:
    """Start from the next lower dose, a third of whose cells are trained on; all controls are trained on."""
    fold, generator = draw
    start = {c: c._replace(dose=lower[c]) for c in tested}
    kept, pools = _share({c: groups[c] for c in start.values()}, generator)
    found = [_condition(c, pools[start[c]], groups[c], generator, start[c].dose) for c in tested]
    held_out = frozenset(c for c in groups if c.perturbation != CONTROL and hidden(c))
    train = kept + [where for c, where in groups.items() if c not in held_out and c not in pools]
    return Split("low_to_high_dose", fold, False, _without(train, []), tuple(found), held_out)


def _resampled(
    obs: pd.DataFrame, groups: Groups, tested: list[Condition], fold: int, generator: np.random.Generator
) -> Split:
    """Test on draws of the very cells that are trained on, as the CycSeq paper's leave-one-draw-out does (2.2)."""

    def draw(cells: Index) -> Index:
        return np.sort(generator.choice(cells, min(DRAW_CELLS, len(cells)), replace=False))

    controls, found = _controls(obs), []
    for condition in tested:
        own = np.sort(np.concatenate([controls[g] for g in _control_groups(obs, groups[condition])]))
        halves, cells = (draw(own), draw(own)), draw(groups[condition])
        found.append(_condition(condition, halves, cells, generator))
    return Split("resampled", fold, True, np.arange(len(obs)), tuple(found), frozenset())


Group = tuple[str, str]
"""(context, control group)."""


def _controls(obs: pd.DataFrame) -> dict[Group, Index]:
    """Map every group of controls to its positions."""
    rows = np.flatnonzero(obs["is_control"].to_numpy())
    labels = obs.iloc[rows]
    found = labels.groupby([labels["context"].astype(str), labels["control_group"].astype(str)]).indices
    return {group: rows[where] for group, where in sorted(found.items())}


def _control_groups(obs: pd.DataFrame, cells: Index) -> list[Group]:
    """Groups of controls that some perturbed cells are held against."""
    rows = obs.iloc[cells]
    return sorted(set(zip(rows["context"].astype(str), rows["control_group"].astype(str), strict=True)))


def _share(populations: Mapping[Key, Index], generator: np.random.Generator) -> tuple[list[Index], dict[Key, Halves]]:
    """Give a third of every start state to training, a third each to A and B."""
    train, pools = [], {}
    for key, cells in populations.items():
        parts = np.array_split(generator.permutation(cells), 3)
        train.append(parts[0])
        pools[key] = (np.sort(parts[1]), np.sort(parts[2]))
    return train, pools


def _condition(
    condition: Condition,
    start: Halves,
    cells: Index,
    generator: np.random.Generator,
    start_dose: float | None = None,
) -> TestCondition:
    half_a, half_b = (np.sort(h) for h in np.array_split(generator.permutation(cells), 2))
    return TestCondition(condition.context, condition.perturbation, *start, half_a, half_b, condition.dose, start_dose)


def _without(train: Iterable[Index], used: Iterable[Index]) -> Index:
    """Join training cells and take those away that are tested."""
    return np.setdiff1d(np.concatenate(list(train)), np.concatenate([np.array([], dtype=int), *used]))
