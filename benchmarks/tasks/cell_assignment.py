"""How cells of a fold become input, reference, truth and training: what the protocols share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from benchmarks.contract import CONTROL
from benchmarks.errors import DataError
from benchmarks.tasks.conditions import Condition, Index, Scope, TestCondition, all_of
from benchmarks.tasks.protocol import Fold

if TYPE_CHECKING:
    import pandas as pd

MOST_FOLDS = 5
MIN_START = 6
"""Fewest cells of a start state: a third each for training, input and reference."""
Key = TypeVar("Key", bound=Hashable)
Halves = tuple[Index, Index]
ControlGroup = tuple[str, str]
"""(context, control group)."""


def every_condition(
    table: pd.DataFrame, fold: int, scope: Scope, generator: np.random.Generator | None
) -> frozenset[Condition]:
    """Test all conditions of the scope in every fold."""
    return frozenset(c for c in all_of(table) if scope.has(c.context, c.perturbation))


def five_folds(table: pd.DataFrame, scope: Scope) -> int:
    """Count the folds of a protocol that tests every condition: `MOST_FOLDS`, or 0 without a condition."""
    return MOST_FOLDS if every_condition(table, 0, scope, None) else 0


def start_from_controls(
    fold: Fold, take: Callable[[Index, np.random.Generator], Index] = lambda cells, generator: cells
) -> tuple[Index, list[TestCondition]]:
    """Start from controls, a third of which is trained on, and test the cells that `take` takes of each condition.

    Raises
    ------
    DataError
        A context has fewer than `MIN_START` controls.
    """
    controls = controls_of(fold.obs)
    own = {c: control_groups(fold.obs, fold.groups[c]) for c in fold.tested}
    populations = {group: controls[group] for group in sorted({g for names in own.values() for g in names})}
    for (context, _), cells in populations.items():
        if len(cells) < MIN_START:
            raise DataError(
                f"Context {context} has {len(cells)} controls; at least {MIN_START} are needed for training, input and "
                "reference."
            )
    train, pools = share(populations, fold.generator)
    train += [where for group, where in controls.items() if group not in populations]
    tested = []
    for condition in fold.tested:
        cells = take(fold.groups[condition], fold.generator)
        start_a, start_b = (
            np.sort(np.concatenate(side)) for side in zip(*(pools[g] for g in own[condition]), strict=True)
        )
        tested.append(with_cells(condition, (start_a, start_b), cells, fold.generator))
    train += [where for c, where in fold.groups.items() if c.perturbation != CONTROL and c not in fold.held_out]
    return join(train, (half for c in tested for half in (c.perturbed_a, c.perturbed_b))), tested


def controls_of(obs: pd.DataFrame) -> dict[ControlGroup, Index]:
    """Map every control group to the positions of its controls."""
    rows = np.flatnonzero(obs["is_control"].to_numpy())
    labels = obs.iloc[rows]
    found = labels.groupby([labels["context"].astype(str), labels["control_group"].astype(str)]).indices
    return {group: rows[where] for group, where in sorted(found.items())}


def control_groups(obs: pd.DataFrame, cells: Index) -> list[ControlGroup]:
    """List the control groups that some perturbed cells belong to."""
    rows = obs.iloc[cells]
    return sorted(set(zip(rows["context"].astype(str), rows["control_group"].astype(str), strict=True)))


def share(populations: Mapping[Key, Index], generator: np.random.Generator) -> tuple[list[Index], dict[Key, Halves]]:
    """Divide every start state in thirds: one for training, and one each for the groups A and B."""
    train, pools = [], {}
    for key, cells in populations.items():
        parts = np.array_split(generator.permutation(cells), 3)
        train.append(parts[0])
        pools[key] = (np.sort(parts[1]), np.sort(parts[2]))
    return train, pools


def with_cells(
    condition: Condition,
    start: Halves,
    cells: Index,
    generator: np.random.Generator,
    start_dose: float | None = None,
) -> TestCondition:
    """Divide the perturbed cells of a condition into the groups A and B."""
    half_a, half_b = (np.sort(h) for h in np.array_split(generator.permutation(cells), 2))
    return TestCondition(condition.context, condition.perturbation, *start, half_a, half_b, condition.dose, start_dose)


def join(train: Iterable[Index], tested: Iterable[Index] = ()) -> Index:
    """Join training cells, sorted and without those that are tested."""
    return np.setdiff1d(np.concatenate(list(train)), np.concatenate([np.array([], dtype=int), *tested]))
