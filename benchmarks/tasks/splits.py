"""Splits: which cells of a fold are trained on, and which are input, reference and truth of a prediction.

Every tested condition has four disjoint groups of cells: control A and B of the state it starts from, perturbed A and B.
The start state is the controls, or the same compound's cells at a lower dose. In direction n2p the input is control A, the
reference is control B and the truth is all perturbed test cells; in p2n the input is perturbed A, the reference is
perturbed B and the truth is all test controls. So one training serves both directions, and input, reference, truth and
training share no cell, except under a protocol that is marked leaky.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL
from benchmarks.errors import DataError
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import (
    EVERYTHING,
    MIN_CELLS,
    ROLES,
    Condition,
    Index,
    Scope,
    TestCondition,
    conditions,
    groups_of,
)
from benchmarks.tasks.protocol import INPUT_CELLS, Fold, find_protocol

LABELS = ("context", "perturbation", "dose", "start_dose")


@dataclass(frozen=True)
class Split:
    """One fold of one protocol."""

    protocol: str
    fold: int
    leaky: bool
    train: Index
    conditions: tuple[TestCondition, ...]
    held_out: frozenset[Condition]
    """Perturbed conditions of the data that may not be trained on."""

    @property
    def tested(self) -> Index:
        """Cells that are input, reference or truth of some condition, each once."""
        return np.unique(np.concatenate([getattr(c, role) for c in self.conditions for role in ROLES]))

    def roles(self, names: pd.Index) -> pd.DataFrame:
        """List the roles of all cells: one row per cell, role and condition; with columns of doses if there are any.

        Cells that have a role in all conditions of a context, such as its controls, are listed once, without a perturbation.
        """
        tables = [pd.DataFrame({"cell": names[self.train], "role": "train", "context": "", "perturbation": ""})]
        for role, labels, cells in self._groups():
            tables.append(pd.DataFrame({"cell": names[cells], "role": role, **labels}))
        return pd.concat(tables, ignore_index=True)

    def digest(self, names: pd.Index) -> str:
        """Hash the roles of all cells; the order of the cells in the data does not matter."""
        groups = [(role, sorted((k, str(v)) for k, v in labels.items()), c) for role, labels, c in self._groups()]
        groups.append(("train", [], self.train))
        found = sorted(
            (role, *map("=".join, labels), hashlib.sha256("\n".join(sorted(names[cells])).encode()).hexdigest())
            for role, labels, cells in groups
        )
        return hashlib.sha256("\n".join(map("\t".join, found)).encode()).hexdigest()

    def _groups(self) -> Iterator[tuple[str, dict[str, object], Index]]:
        """Yield role, labels and cells of each group of cells; one that all conditions of a context have comes once."""
        by_context: dict[str, list[TestCondition]] = {}
        for condition in self.conditions:
            by_context.setdefault(condition.context, []).append(condition)
        for context, own in by_context.items():
            for role in ROLES:
                groups = [getattr(condition, role) for condition in own]
                if len(own) > 1 and all(group is groups[0] for group in groups):
                    yield role, {"context": context, "perturbation": ""}, groups[0]
                    continue
                for condition, cells in zip(own, groups, strict=True):
                    labels = {name: getattr(condition, name) for name in LABELS}
                    yield role, {name: label for name, label in labels.items() if label is not None}, cells


def split(
    obs: pd.DataFrame,
    protocol: str,
    fold: int,
    *,
    seed: int = 0,
    scope: Scope = EVERYTHING,
    input_cells: int = INPUT_CELLS,
) -> Split:
    """Divide cells, given by their canonical obs, into training cells and the cells of tested conditions.

    Folds of the protocol count from 0; `seed` is the base seed, the same for every model of a run; `scope` are the conditions
    that may be tested; `input_cells` is the most that a prediction starts from. Raises `UnknownName` for the protocol, and `DataError` for the fold, without a condition to test, or
    with too few controls.
    """
    kind, table, folds = find_protocol(protocol), conditions(obs), n_folds(obs, protocol, scope)
    if not 0 <= fold < folds:
        raise DataError(f"Fold {fold} does not exist: protocol '{protocol}' has folds 0 to {folds - 1} on these data.")
    # one generator for all folds of a protocol, so that they do not overlap
    tested = kind.hold_out(table, fold, scope, np.random.default_rng(derive(seed, protocol)))
    groups, hidden = groups_of(obs), kind.hides(tested) if kind.hides else None
    held_out = frozenset(c for c in groups if hidden and c.perturbation != CONTROL and hidden(c))
    ordered = sorted(tested, key=lambda c: c.order)
    generator = np.random.default_rng(derive(seed, protocol, fold))
    train, found = kind.assign(Fold(obs, table, groups, ordered, held_out, generator, input_cells))
    return Split(protocol, fold, kind.leaky, train, tuple(found), held_out)


def n_folds(obs: pd.DataFrame, protocol: str, scope: Scope = EVERYTHING) -> int:
    """Count the folds of a protocol on these cells; raises `DataError` if it can test no condition."""
    kind = find_protocol(protocol)
    folds = kind.count_folds(conditions(obs), scope)
    if not folds:
        chosen = ", ".join((*(scope.perturbations or ()), *(scope.contexts or ())))
        raise DataError(
            f"Protocol '{protocol}' finds no condition to test{f' among {chosen}' if chosen else ''}: it needs "
            f"{kind.needs} with at least {MIN_CELLS} cells each."
        )
    return folds
