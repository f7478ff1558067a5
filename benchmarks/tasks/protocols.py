"""Protocols: which conditions a fold tests, and which conditions may then not be trained on.

A condition is a perturbation in a context at a dose. Everything here works on the table of conditions and never looks at a
cell; who is who among the cells is decided in `splits.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.contract import DIRECTIONS, Direction
from benchmarks.errors import UnknownName
from benchmarks.tasks.conditions import Condition, Conditions, Pair, Scope, all_of, lower_doses

MOST_FOLDS = 5
Hidden = Callable[[Condition], bool]


@dataclass(frozen=True)
class Protocol:
    """How conditions are held out."""

    name: str
    summary: str
    leaky: bool
    folds: Callable[[pd.DataFrame, Scope], int]
    """(conditions, scope) → how many folds there are; 0 where nothing can be tested."""
    hold_out: Callable[[pd.DataFrame, int, Scope, np.random.Generator], Conditions]
    """(conditions, fold, scope, generator) → conditions tested in this fold."""
    hides: Callable[[Conditions], Hidden]
    """Conditions tested → whether a condition may not be trained on."""
    needs: str = "conditions"
    """What the data must have for it, for the error message."""
    directions: tuple[Direction, ...] = DIRECTIONS
    asks: str = ""
    """Ability (a field of `contract.Can`) that every one of its questions takes; a model whose record says "no" to it is
    not trained."""


def find_protocol(name: str) -> Protocol:
    """Look a protocol up by name; raises `UnknownName`."""
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def _contexts_of(table: pd.DataFrame) -> dict[str, list[str]]:
    pairs = table.drop_duplicates(["context", "perturbation"])
    return {str(p): list(g.sort_values("rank")["context"]) for p, g in pairs.groupby("perturbation", sort=True)}


def _at_all_doses(table: pd.DataFrame, pairs: set[Pair]) -> Conditions:
    return frozenset(c for c in all_of(table) if c.pair in pairs)


def _hides_nothing(tested: Conditions) -> Hidden:
    return lambda condition: False


# --- unseen_context ---------------------------------------------------------------------------------------------------


def _shared(table: pd.DataFrame, scope: Scope) -> dict[str, list[str]]:
    """Map perturbations that stay in at least one context to those they can be tested in."""
    found = {
        p: [c for c in contexts if scope.has(c, p)]
        for p, contexts in _contexts_of(table).items()
        if len(contexts) > scope.contexts_held_out
    }
    return {p: contexts for p, contexts in found.items() if contexts}


def _context_folds(table: pd.DataFrame, scope: Scope) -> int:
    shared = _shared(table, scope).values()
    if scope.one_context:
        return 2 * len({c for contexts in shared for c in contexts})
    return -(-max(map(len, shared), default=0) // scope.contexts_held_out)


def _unseen_context(table: pd.DataFrame, fold: int, scope: Scope, generator: np.random.Generator) -> Conditions:
    """Hold each perturbation out in some contexts, others in each fold; it stays in at least one."""
    shared, n_out = _shared(table, scope), scope.contexts_held_out
    order = [str(p) for p in (generator.permutation(sorted(shared)) if len(shared) > 1 else sorted(shared))]
    if scope.one_context:
        ranked = [c for c in table.sort_values("rank")["context"].unique() if any(c in s for s in shared.values())]
        context, half = ranked[fold % len(ranked)], fold // len(ranked)
        return _at_all_doses(table, {(context, p) for p in order[half::2] if context in shared[p]})
    return _at_all_doses(
        table,
        {
            (shared[p][(i + fold * n_out + j) % len(shared[p])], p)
            for i, p in enumerate(order)
            for j in range(n_out)
            if fold * n_out + j < len(shared[p])
        },
    )


def _hides_pair(tested: Conditions) -> Hidden:
    """At every dose: a neighbouring dose would give the answer away."""
    pairs = {c.pair for c in tested}
    return lambda condition: condition.pair in pairs


# --- unseen_perturbation ----------------------------------------------------------------------------------------------


def _singles(table: pd.DataFrame, scope: Scope) -> list[str]:
    return sorted({c.perturbation for c in all_of(table) if len(c.parts) == 1 and scope.has(c.context, c.perturbation)})


def _perturbation_folds(table: pd.DataFrame, scope: Scope) -> int:
    singles = len(_singles(table, scope))
    if scope.perturbations is not None:
        return min(1, singles)
    return min(MOST_FOLDS, singles) if singles > 1 else 0


def _unseen_perturbation(table: pd.DataFrame, fold: int, scope: Scope, generator: np.random.Generator) -> Conditions:
    """Hold out a fifth of the single perturbations, or those named, all at once."""
    chosen = set(generator.permutation(_singles(table, scope))[fold :: _perturbation_folds(table, scope)])
    return frozenset(c for c in all_of(table) if c.perturbation in chosen and scope.has(c.context, c.perturbation))


def _hides_parts(tested: Conditions) -> Hidden:
    """In every context, and every combination with a part that is tested."""
    hidden = {c.perturbation for c in tested}
    return lambda condition: condition.perturbation in hidden or not hidden.isdisjoint(condition.parts)


# --- low_to_high_dose -------------------------------------------------------------------------------------------------


def _raised(table: pd.DataFrame, scope: Scope) -> list[Condition]:
    """Conditions tested that have a lower dose to start from: of the compounds named, or else of every fifth by name."""
    found = [c for c in lower_doses(table) if scope.has(c.context, c.perturbation)]
    every = 1 if scope.perturbations is not None else MOST_FOLDS
    chosen = set(sorted({c.perturbation for c in found})[::every])
    return [c for c in found if c.perturbation in chosen]


def _target_doses(table: pd.DataFrame, scope: Scope) -> list[float]:
    return sorted({c.dose for c in _raised(table, scope) if c.dose is not None}, reverse=True)


def _dose_folds(table: pd.DataFrame, scope: Scope) -> int:
    return len(_target_doses(table, scope))


def _low_to_high(table: pd.DataFrame, fold: int, scope: Scope, generator: np.random.Generator) -> Conditions:
    """Test one dose, the highest in fold 0."""
    target = _target_doses(table, scope)[fold]
    return frozenset(c for c in _raised(table, scope) if c.dose == target)


def _hides_dose(tested: Conditions) -> Hidden:
    """In every context, at the target dose and above; an unknown dose might be one of those."""
    target = {part: c.dose for c in tested for part in c.parts if c.dose is not None}

    def hidden(condition: Condition) -> bool:
        asked = [target[part] for part in condition.parts if part in target]
        return any(condition.dose is None or condition.dose >= dose for dose in asked)

    return hidden


# --- all conditions ---------------------------------------------------------------------------------------------------


def _five_folds(table: pd.DataFrame, scope: Scope) -> int:
    return MOST_FOLDS if _every_condition(table, 0, scope, np.random.default_rng()) else 0


def _every_condition(table: pd.DataFrame, fold: int, scope: Scope, generator: np.random.Generator) -> Conditions:
    return frozenset(c for c in all_of(table) if scope.has(c.context, c.perturbation))


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(
            "unseen_context",
            "a perturbation held out in one context, seen in others",
            False,
            _context_folds,
            _unseen_context,
            _hides_pair,
            "perturbations in two contexts or more",
        ),
        Protocol(
            "unseen_perturbation",
            "perturbations held out in every context",
            False,
            _perturbation_folds,
            _unseen_perturbation,
            _hides_parts,
            "two single perturbations or more",
        ),
        Protocol(
            "held_out_cells",
            "half of each condition's cells held out",
            False,
            _five_folds,
            _every_condition,
            _hides_nothing,
        ),
        Protocol(
            "low_to_high_dose",
            "a compound's higher dose predicted from cells at its next lower one, trained on lower doses only",
            False,
            _dose_folds,
            _low_to_high,
            _hides_dose,
            "perturbations at two doses or more",
            ("n2p",),
            asks="dose",
        ),
        Protocol(
            "resampled",
            "the paper's: draws of the cells trained on (leaky)",
            True,
            _five_folds,
            _every_condition,
            _hides_nothing,
        ),
    )
}
