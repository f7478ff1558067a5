"""Several suites one after the other, into one folder; one that cannot run or fails stops no other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from benchmarks.data.store.atomic_files import write_json
from benchmarks.errors import BenchmarkError
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question, content_key
from benchmarks.tasks.suites import ALL
from reports.pages.index_page import Entry, write_index

ABOUT = "collection.json"


@dataclass(frozen=True)
class Collection:
    """What several suites left behind."""

    folder: Path
    entries: tuple[Entry, ...]

    @property
    def failures(self) -> int:
        """Conditions that failed or timed out, over all suites."""
        return sum(entry.failures for entry in self.entries)

    @property
    def unusable(self) -> tuple[Entry, ...]:
        """Suites that could not be run."""
        return tuple(entry for entry in self.entries if entry.problem)


def run_suites(
    names: Sequence[str],
    question: Question,
    out: Path,
    execution: Execution | None = None,
    watch: Watcher = ignore,
    *,
    resume: bool = False,
) -> Collection:
    """Run suites one after the other and write an index page over all of them.

    Parameters
    ----------
    names
        Which suites, in this order.
    question
        What is asked of each; its own suite is not used.
    out
        Results go to `<out>/all/<time>/<suite>/`.
    execution, watch
        As for `run`.
    resume
        Go on in the newest folder of the same question.

    Raises
    ------
    StoreError
        The folder cannot be written, or holds something else.
    KeyboardInterrupt
        At once; what was finished is kept.
    """
    about = {"suites": list(names), "key": content_key(question.fixed() | {"suite": ALL})}
    folder = (_newest(out / ALL, about) if resume else None) or out / ALL / datetime.now().strftime("%Y-%m-%dT%H%M%S")
    write_json(folder / ABOUT, about)
    execution, entries = execution or Execution(), list[Entry]()
    for name in names:
        place = folder / name
        try:
            plan = make_plan(replace(question, suite=name), execution.data_dir)
            result = run(plan, place, execution, watch)
            entries.append(Entry(name, place, plan.suite.title, result.failures, result.seconds))
        except BenchmarkError as error:
            entries.append(Entry(name, place, problem=f"{type(error).__name__}: {error}"))
        write_index(entries, folder)
    return Collection(folder, tuple(entries))


def _newest(root: Path, about: Mapping[str, object]) -> Path | None:
    """Find the newest folder of the same suites and question."""
    same = [path.parent for path in root.glob(f"*/{ABOUT}") if json.loads(path.read_text(encoding="utf-8")) == about]
    return max(same, default=None, key=lambda path: path.name)
