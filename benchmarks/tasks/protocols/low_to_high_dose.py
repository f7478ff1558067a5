"""A compound's higher dose is predicted from cells at its next lower one; only lower doses are trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.tasks.conditions import Condition, Index, Scope, Table, TestCondition, lower_doses
from benchmarks.tasks.protocol import MOST_FOLDS, Fold, Protocol, capped, join, share, with_cells


def raised(table: Table, scope: Scope) -> list[Condition]:
    """List conditions with a lower dose to start from: of all named compounds, or else of every fifth by name."""
    found = [c for c in lower_doses(table) if scope.has(c.context, c.perturbation)]
    every = 1 if scope.perturbations is not None else MOST_FOLDS
    chosen = set(sorted({c.perturbation for c in found})[::every])
    return [c for c in found if c.perturbation in chosen]


def target_doses(table: Table, scope: Scope) -> list[float]:
    """List the doses that are tested, the highest first."""
    return sorted({c.dose for c in raised(table, scope) if c.dose is not None}, reverse=True)


def hold_out(table: Table, fold: int, scope: Scope, generator: np.random.Generator) -> frozenset[Condition]:
    """Test one dose, the highest in fold 0."""
    target = target_doses(table, scope)[fold]
    return frozenset(c for c in raised(table, scope) if c.dose == target)


def hides(tested: frozenset[Condition]) -> Callable[[Condition], bool]:
    """Hide the target dose and those above in every context; an unknown dose might be one of these."""
    target = {part: c.dose for c in tested for part in c.parts if c.dose is not None}

    def hidden(condition: Condition) -> bool:
        doses = [target[part] for part in condition.parts if part in target]
        return any(condition.dose is None or condition.dose >= dose for dose in doses)

    return hidden


def gives_away(trained: Condition, tested: Condition) -> bool:
    """Return whether the tested compound was trained on at an unknown dose, or at the target dose or above."""
    if tested.perturbation not in (trained.perturbation, *trained.parts):
        return False
    return trained.dose is None or tested.dose is None or trained.dose >= tested.dose


def assign(fold: Fold) -> tuple[Index, list[TestCondition]]:
    """Start from the next lower dose, a third of whose cells is trained on; all controls are trained on."""
    lower = lower_doses(fold.table)
    start = {c: c._replace(dose=lower[c]) for c in fold.tested}
    train, pools = share({c: fold.groups[c] for c in start.values()}, fold)
    starts = {c: capped(*pools[c], fold) for c in pools}
    tested = [with_cells(c, starts[start[c]], fold.groups[c], fold, start[c].dose) for c in fold.tested]
    train += [where for c, where in fold.groups.items() if c not in fold.held_out and c not in pools]
    return join(train), tested


PROTOCOL = Protocol(
    name="low_to_high_dose",
    summary="a compound's higher dose predicted from cells at its next lower one, trained on lower doses only",
    order=4,
    count_folds=lambda table, scope: len(target_doses(table, scope)),
    hold_out=hold_out,
    assign=assign,
    hides=hides,
    gives_away=gives_away,
    needs="perturbations at two doses or more",
    directions=("n2p",),
    requires="dose",
)
