"""Each perturbation is held out in some contexts and trained on in the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.tasks.conditions import Condition, Scope, Table, all_of
from benchmarks.tasks.protocol import Protocol, start_from_controls


def shared(table: Table, scope: Scope) -> dict[str, list[str]]:
    """Map perturbations that stay in at least one context to the contexts they can be tested in, the largest first."""
    pairs = table.drop_duplicates(["context", "perturbation"])
    found = {}
    for perturbation, rows in pairs.groupby("perturbation", sort=True):
        name, contexts = str(perturbation), list(rows.sort_values("rank")["context"])
        tested = [c for c in contexts if scope.has(c, name)]
        if len(contexts) > scope.contexts_held_out and tested:
            found[name] = tested
    return found


def count_folds(table: Table, scope: Scope) -> int:
    """Count the folds until every condition was tested once."""
    contexts = shared(table, scope).values()
    if scope.one_context:
        return 2 * len({c for names in contexts for c in names})
    return -(-max(map(len, contexts), default=0) // scope.contexts_held_out)


def hold_out(table: Table, fold: int, scope: Scope, generator: np.random.Generator) -> frozenset[Condition]:
    """Hold out each perturbation in other contexts in each fold."""
    found, n_out = shared(table, scope), scope.contexts_held_out
    order = [str(p) for p in (generator.permutation(sorted(found)) if len(found) > 1 else sorted(found))]
    if scope.one_context:
        ranked = [c for c in table.sort_values("rank")["context"].unique() if any(c in s for s in found.values())]
        context, half = ranked[fold % len(ranked)], fold // len(ranked)
        pairs = {(context, p) for p in order[half::2] if context in found[p]}
    else:
        pairs = {
            (found[p][(i + fold * n_out + j) % len(found[p])], p)
            for i, p in enumerate(order)
            for j in range(n_out)
            if fold * n_out + j < len(found[p])
        }
    return frozenset(c for c in all_of(table) if c.pair in pairs)


def hides(tested: frozenset[Condition]) -> Callable[[Condition], bool]:
    """Hide the tested pairs at every dose, since a neighbouring dose would give the answer away."""
    pairs = {c.pair for c in tested}
    return lambda condition: condition.pair in pairs


PROTOCOL = Protocol(
    name="unseen_context",
    summary="a perturbation held out in one context, seen in others",
    order=1,
    count_folds=count_folds,
    hold_out=hold_out,
    assign=start_from_controls,
    hides=hides,
    gives_away=lambda trained, tested: trained.pair == tested.pair,
    needs="perturbations in two contexts or more",
)
