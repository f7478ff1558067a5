"""What `run --list` prints: suites, sets of perturbations, models, protocols, data sets and metrics."""

from __future__ import annotations

import importlib
import sys
from dataclasses import fields
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
    from benchmarks.api import listing
    from benchmarks.contract import Can
    from benchmarks.tasks.suites import ALL, PAPER

    def can(row: listing.Row) -> str:
        return str(Can(**{ability.name: row[ability.name] for ability in fields(Can)}))

    lists = {
        "Suites (--suite)": [
            *((row["suite"], row["title"]) for row in listing.suite_rows()),
            (ALL, f"{', '.join(PAPER)}, one by one"),
        ],
        "Sets of perturbations (--perturbations)": [
            (f"{row['dataset']} {row['set']}", f"{row['summary']}: {row['perturbations']}")
            for row in listing.set_rows()
        ],
        "Models (--models)": [
            (row["model"], f"{row['summary']} [{row['directions'].replace(' ', ', ')}; {can(row)}]")
            for row in listing.model_rows(plugins)
        ],
        "Protocols (--protocol)": [(row["protocol"], row["summary"]) for row in listing.protocol_rows()],
        "Data sets": [(row["dataset"], f"{row['title']} [{row['source']}]") for row in listing.dataset_rows()],
        "Metrics": [(row["metric"], row["summary"]) for row in listing.metric_rows()],
    }
    for title, entries in lists.items():
        names = Column(no_wrap=True)
        table = Table(names, "", title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, text in entries:
            table.add_row(name, text)
        console.print(table, markup=False)
        console.print()
