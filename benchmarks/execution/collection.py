"""Several suites one after the other, into one folder; one that cannot run or fails stops no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.data.store.atomic_files import write_json
from benchmarks.errors import BenchmarkError
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.run_folders import check_name, folders_in, new_folder, point_latest
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question, content_key
from benchmarks.tasks.suites import ALL
from reports.pages.index_page import Entry, write_index

ABOUT = "collection.json"


def run_suites(
    names: Sequence[str],
    question: Question,
    out: Path,
    execution: Execution | None = None,
    watch: Watcher = ignore,
    *,
    name: str = "",
    resume: bool = False,
) -> tuple[Path, list[Entry]]:
    """Run suites one after the other and write an index page over all of them; returns the folder and what is there.

    The page is written before each suite and at the end, however that comes; it says which suites have not come to their end.

    Results go to `<out>/all/<name or time>/<suite>/`, with `resume` to the one that is named, or the newest folder of the same
    suites and question. The question's own suite is not used; `execution` and `watch` are as for `run`. Raises `StoreError` if
    the folder cannot be written, or holds something else, and `BenchmarkError` for a name that is taken.
    """
    about = {"suites": list(names), "key": content_key(question.fixed() | {"suite": ALL})}
    same = [
        path for path in folders_in(out / ALL) if _read(path / ABOUT) == about and check_name(name) in ("", path.name)
    ]
    with ExitStack() as new:
        folder = same[-1] if resume and same else new.enter_context(new_folder(out / ALL, name))
        point_latest(folder)
        write_json(folder / ABOUT, about)
    execution = execution or Execution()
    entries = [Entry(name, folder / name, waiting=True) for name in names]
    try:
        for number, name in enumerate(names):
            write_index(entries, folder)
            entries[number] = _run_suite(replace(question, suite=name), folder / name, execution, watch)
    finally:
        write_index(entries, folder)
    return folder, entries


def _read(path: Path) -> object:
    """Read JSON; None where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _run_suite(question: Question, folder: Path, execution: Execution, watch: Watcher) -> Entry:
    """Run one suite; what makes it unusable is in the entry."""
    try:
        plan = make_plan(question, execution.data_dir)
        result = run(plan, folder, execution, watch)
    except BenchmarkError as error:
        return Entry(question.suite, folder, problem=f"{type(error).__name__}: {error}")
    return Entry(question.suite, folder, plan.suite.title, result.failures, result.seconds)
