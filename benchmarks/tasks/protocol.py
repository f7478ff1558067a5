"""The record of a protocol, and the list of all protocols: one file each in `benchmarks/tasks/protocols/`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.contract import DIRECTIONS, Direction
from benchmarks.errors import UnknownName
from benchmarks.tasks import protocols
from benchmarks.tasks.conditions import Condition, Groups, Index, Scope, TestCondition

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fold:
    """What a protocol assigns cells from."""

    obs: pd.DataFrame
    """Canonical obs of all cells."""
    table: pd.DataFrame
    """Conditions that can be tested (`conditions.conditions`)."""
    groups: Groups
    """All conditions and their cells."""
    tested: list[Condition]
    """Conditions of this fold, sorted."""
    held_out: frozenset[Condition]
    """Perturbed conditions that may not be trained on."""
    generator: np.random.Generator


@dataclass(frozen=True)
class Protocol:
    """How conditions are held out and how cells are assigned."""

    name: str
    """Name of its file."""
    summary: str
    order: int
    """Place in listings. A user's own file gets the first protocol that its data allow."""
    count_folds: Callable[[pd.DataFrame, Scope], int]
    """(table of conditions, scope) → number of folds; 0 if nothing can be tested."""
    hold_out: Callable[[pd.DataFrame, int, Scope, np.random.Generator], frozenset[Condition]]
    """(table of conditions, fold, scope, generator) → conditions that the fold tests."""
    assign: Callable[[Fold], tuple[Index, list[TestCondition]]]
    """Fold → training cells, and the tested conditions with their cells."""
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
