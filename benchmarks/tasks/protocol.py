"""The record of a protocol, the list of all protocols (one file each in `benchmarks/tasks/protocols/`), and what they share:
how cells of a fold become input, reference, truth and training."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from benchmarks.contract import CONTROL, DIRECTIONS, Direction
from benchmarks.errors import DataError, UnknownName
from benchmarks.tasks import protocols
from benchmarks.tasks.conditions import Condition, Groups, Index, Scope, Table, TestCondition, all_of

MOST_FOLDS = 5
INPUT_CELLS = 512
"""Most cells that a prediction starts from, unless a question says otherwise."""
MIN_START = 6
"""Fewest cells of a start state: a third each for training, input and reference."""
Halves = tuple[Index, Index]
ControlGroup = tuple[str, str]
"""(context, control group)."""
Start = TypeVar("Start", bound=Hashable)


@dataclass(frozen=True)
class Fold:
    """What a protocol assigns cells from."""

    obs: Table
    """Canonical obs of all cells."""
    table: Table
    """Conditions that can be tested (`conditions.conditions`)."""
    groups: Groups
    """All conditions and their cells."""
    tested: list[Condition]
    """Conditions of this fold, sorted."""
    held_out: frozenset[Condition]
    """Perturbed conditions that may not be trained on."""
    generator: np.random.Generator
    input_cells: int = INPUT_CELLS
    """Most input cells of a condition; the others that could be input are reference cells."""


def in_scope(table: Table, scope: Scope) -> frozenset[Condition]:
    """Take all conditions of the scope."""
    return frozenset(c for c in all_of(table) if scope.has(c.context, c.perturbation))


@dataclass(frozen=True)
class Protocol:
    """How conditions are held out and how cells are assigned."""

    name: str
    """Name of its file."""
    summary: str
    order: int
    """Place in listings. A user's own file gets the first protocol that its data allow."""
    assign: Callable[[Fold], tuple[Index, list[TestCondition]]]
    """Fold → training cells, and the tested conditions with their cells."""
    count_folds: Callable[[Table, Scope], int] = lambda table, scope: MOST_FOLDS if in_scope(table, scope) else 0
    """(table of conditions, scope) → number of folds; 0 if nothing can be tested."""
    hold_out: Callable[[Table, int, Scope, np.random.Generator], frozenset[Condition]] = (
        lambda table, fold, scope, generator: in_scope(table, scope)
    )
    """(table of conditions, fold, scope, generator) → conditions that the fold tests; default: all, in every fold."""
    hides: Callable[[frozenset[Condition]], Callable[[Condition], bool]] | None = None
    """Tested conditions → whether a condition may not be trained on; None: all conditions are trained on."""
    gives_away: Callable[[Condition, Condition], bool] | None = None
    """(trained, tested) → whether training on the one gives the other away. The leakage audit checks splits with it, so it is
    written independently of `hides`."""
    needs: str = "conditions"
    """What the data must have, for error messages."""
    directions: tuple[Direction, ...] = DIRECTIONS
    requires: str = ""
    """Capability (a field of `contract.Can`) that every query requires; a model whose record says "no" is not trained."""
    leaky: bool = False
    """Whether test cells are training cells by design."""


@cache
def list_protocols() -> dict[str, Protocol]:
    """Import the `PROTOCOL` of every file of the folder, by name, in their order."""
    names = [module.name for module in pkgutil.iter_modules(protocols.__path__)]
    found = [importlib.import_module(f"{protocols.__name__}.{name}").PROTOCOL for name in names]
    return {protocol.name: protocol for protocol in sorted(found, key=lambda protocol: protocol.order)}


def find_protocol(name: str) -> Protocol:
    """Look a protocol up by name; raises `UnknownName`."""
    if name not in list_protocols():
        raise UnknownName("protocol", name, list_protocols())
    return list_protocols()[name]


def start_from_controls(
    fold: Fold, take: Callable[[Index, np.random.Generator], Index] = lambda cells, generator: cells
) -> tuple[Index, list[TestCondition]]:
    """Start from controls, a third of which is trained on, and test the cells that `take` takes of each condition.

    Raises `DataError` for a context with fewer than `MIN_START` controls.
    """
    controls = controls_of(fold.obs)
    own = {c: control_groups(fold.obs, fold.groups[c]) for c in fold.tested}
    populations = {group: controls[group] for group in sorted({g for names in own.values() for g in names})}
    for (context, _), cells in populations.items():
        if len(cells) < MIN_START:
            needed = f"at least {MIN_START} are needed for training, input and reference"
            raise DataError(f"Context {context} has {len(cells)} controls; {needed}.")
    train, pools = share(populations, fold)
    train += [where for group, where in controls.items() if group not in populations]
    tested = []
    starts: dict[tuple[ControlGroup, ...], Halves] = {}
    for condition in fold.tested:
        cells, groups = take(fold.groups[condition], fold.generator), tuple(own[condition])
        if groups not in starts:
            sides = zip(*(pools[g] for g in groups), strict=True)
            starts[groups] = capped(*(np.concatenate(side) for side in sides), fold)
        tested.append(with_cells(condition, starts[groups], cells, fold))
    train += [where for c, where in fold.groups.items() if c.perturbation != CONTROL and c not in fold.held_out]
    return join(train, (half for c in tested for half in (c.perturbed_a, c.perturbed_b))), tested


def controls_of(obs: Table) -> dict[ControlGroup, Index]:
    """Map every control group to the positions of its controls."""
    rows = np.flatnonzero(obs["is_control"].to_numpy())
    labels = obs.iloc[rows]
    found = labels.groupby([labels["context"].astype(str), labels["control_group"].astype(str)]).indices
    return {group: rows[where] for group, where in sorted(found.items())}


def control_groups(obs: Table, cells: Index) -> list[ControlGroup]:
    """List the control groups that some perturbed cells belong to."""
    rows = obs.iloc[cells]
    return sorted(set(zip(rows["context"].astype(str), rows["control_group"].astype(str), strict=True)))


def share(populations: Mapping[Start, Index], fold: Fold) -> tuple[list[Index], dict[Start, Halves]]:
    """Divide every start state in thirds: one for training, and one each for the groups A and B."""
    train, pools = [], {}
    for key, cells in populations.items():
        parts = np.array_split(fold.generator.permutation(cells), 3)
        train.append(parts[0])
        pools[key] = (np.sort(parts[1]), np.sort(parts[2]))
    return train, pools


def capped(a: Index, b: Index, fold: Fold) -> Halves:
    """Leave at most `input_cells` of the cells A, drawn at random, and add the others to B; both are sorted."""
    most = fold.input_cells
    # a generator of its own, so that a cap moves no other cell
    order = fold.generator.spawn(1)[0].permutation(a) if len(a) > most else a
    return np.sort(order[:most]), np.sort(np.concatenate([order[most:], b]))


def with_cells(
    condition: Condition, start: Halves, cells: Index, fold: Fold, start_dose: float | None = None
) -> TestCondition:
    """Divide the perturbed cells of a condition into the groups A and B."""
    halves = capped(*np.array_split(fold.generator.permutation(cells), 2), fold)
    return TestCondition(condition.context, condition.perturbation, *start, *halves, condition.dose, start_dose)


def join(train: Iterable[Index], tested: Iterable[Index] = ()) -> Index:
    """Join training cells, sorted and without those that are tested."""
    return np.setdiff1d(np.concatenate(list(train)), np.concatenate([np.array([], dtype=int), *tested]))
