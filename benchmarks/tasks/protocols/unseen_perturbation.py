"""A fifth of the single perturbations is held out in every context."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.tasks.conditions import Condition, Scope, Table
from benchmarks.tasks.protocol import MOST_FOLDS, Protocol, in_scope, start_from_controls


def singles(table: Table, scope: Scope) -> list[str]:
    """List the single perturbations of the scope."""
    return sorted({c.perturbation for c in in_scope(table, scope) if len(c.parts) == 1})


def count_folds(table: Table, scope: Scope) -> int:
    """Count the folds: one for named perturbations, else at most `MOST_FOLDS`, with one perturbation in each at least."""
    n_singles = len(singles(table, scope))
    if scope.perturbations is not None:
        return min(1, n_singles)
    return min(MOST_FOLDS, n_singles) if n_singles > 1 else 0


def hold_out(table: Table, fold: int, scope: Scope, generator: np.random.Generator) -> frozenset[Condition]:
    """Hold out a fifth of the single perturbations, or all that are named."""
    chosen = set(generator.permutation(singles(table, scope))[fold :: count_folds(table, scope)])
    return frozenset(c for c in in_scope(table, scope) if c.perturbation in chosen)


def hides(tested: frozenset[Condition]) -> Callable[[Condition], bool]:
    """Hide the perturbations in every context, and the combinations with one of them."""
    hidden = {c.perturbation for c in tested}
    return lambda condition: condition.perturbation in hidden or not hidden.isdisjoint(condition.parts)


PROTOCOL = Protocol(
    name="unseen_perturbation",
    summary="perturbations held out in every context",
    order=2,
    count_folds=count_folds,
    hold_out=hold_out,
    assign=start_from_controls,
    hides=hides,
    gives_away=lambda trained, tested: tested.perturbation in (trained.perturbation, *trained.parts),
    needs="two single perturbations or more",
)
