"""What `run --list` prints: suites, sets of perturbations, models, protocols, data sets and metrics."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.table import Column, Table

from benchmarks.cli.console import console


class Deferred(ModuleType):
    """Stands for a package until something of it is used: a list needs nothing of pandas, and its import takes longest."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def print_lists(plugins: tuple[Path, ...]) -> None:
    """Print a table of every kind of name that an option takes."""
    sys.modules.setdefault("pandas", Deferred("pandas"))
    from benchmarks import registry
    from benchmarks.data import cards
    from benchmarks.scoring.metrics.all_metrics import METRICS
    from benchmarks.tasks.protocol import list_protocols
    from benchmarks.tasks.suites import ALL, PAPER, SUITES

    known = {name: cards.read_card(name) for name in cards.available()}
    lists = {
        "Suites (--suite)": [*((s.name, s.title) for s in SUITES.values()), (ALL, f"{', '.join(PAPER)}, one by one")],
        "Sets of perturbations (--perturbations)": [
            (f"{name} {key}", f"{found.summary}: {', '.join(found.perturbations)}")
            for name, card in known.items()
            for key, found in card.sets.items()
        ],
        "Models (--models)": [
            (b.name, f"{b.summary} [{', '.join(b.directions)}; {b.can}]") for b in registry.available(plugins).values()
        ],
        "Protocols (--protocol)": [(p.name, p.summary) for p in list_protocols().values()],
        "Data sets": [(name, f"{card.title} [{card.source}]") for name, card in known.items()],
        "Metrics": [(m.name, m.summary) for m in METRICS],
    }
    for title, entries in lists.items():
        names = Column(no_wrap=True)
        table = Table(names, "", title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, text in entries:
            table.add_row(name, text)
        console.print(table, markup=False)
        console.print()
