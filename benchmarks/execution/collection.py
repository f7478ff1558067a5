"""Several suites one after the other, into one folder; one that cannot run or fails stops no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from benchmarks.cli.options import split_names
from benchmarks.data.store import atomic_files
from benchmarks.errors import BenchmarkError, StoreError
from benchmarks.execution.manifest import read_manifest
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import Result
from benchmarks.tasks.question import Question
from benchmarks.tasks.suites import ALL, PAPER, find_suite
from reports.pages.index_page import Entry, write_index

ABOUT = "collection.json"
MAY_DIFFER = ("suite", "models", "seeds", "folds", "directions", "plugins", "settings", "device", "threads", "data_dir")
"""Wishes that a run which is resumed may change; what they change inside a suite, its own run finds out."""


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


def suite_names(text: str) -> tuple[str, ...]:
    """Read `--suite`: one name, several with commas between, or "all"; raises `UnknownName`."""
    names = tuple(dict.fromkeys(split_names(text)))
    names = PAPER if names == (ALL,) else names
    if not names:
        raise BenchmarkError(f"--suite is empty; name a suite, several with commas between, or '{ALL}'.")
    return tuple(find_suite(name).name for name in names)


def run_suites(
    names: tuple[str, ...],
    request: Question,
    out: Path,
    perform: Callable[[Plan, Path], Result],
    *,
    resume: bool = False,
) -> Collection:
    """Run suites one after the other and write what they say together.

    Parameters
    ----------
    names
        Which suites, in this order.
    request
        What is asked of each; its own suite is not looked at.
    out
        Results go to `<out>/all/<time>/<suite>/`.
    perform
        Runs one plan into a folder.
    resume
        Go on with the newest folder of the same wishes.

    Raises
    ------
    StoreError
        The folder cannot be written, or holds something else.
    KeyboardInterrupt
        At once; what was finished is kept.
    """
    wishes = {key: value for key, value in asdict(request).items() if key not in MAY_DIFFER}
    about = {
        "suites": names,
        "key": hashlib.sha256(json.dumps(wishes, sort_keys=True, default=str).encode()).hexdigest(),
    }
    folder = (_newest(out / ALL, about) if resume else None) or out / ALL / datetime.now().strftime("%Y-%m-%dT%H%M%S")
    atomic_files.write_json(folder / ABOUT, about)
    entries = []
    for name in names:
        entries.append(_run_one(replace(request, suite=name), folder / name, perform))
        write_index(entries, folder)
    return Collection(folder, tuple(entries))


def _run_one(request: Question, folder: Path, perform: Callable[[Plan, Path], Result]) -> Entry:
    """Run one suite; what is wrong with its request or data becomes its entry's problem."""
    try:
        plan = make_plan(request)
        if folder.is_dir() and read_manifest(folder).get("key", plan.key) != plan.key:
            raise StoreError(f"{folder} holds a run of other data, splits or settings; leave --resume out.")
        result = perform(plan, folder)
    except BenchmarkError as error:
        return Entry(request.suite, folder, problem=f"{type(error).__name__}: {error}")
    return Entry(request.suite, folder, plan.suite.title, result.failures, result.seconds)


def _newest(root: Path, about: Mapping[str, object]) -> Path | None:
    """Find the newest folder of the same suites and wishes."""
    wanted = json.loads(json.dumps(about))
    same = [path.parent for path in root.glob(f"*/{ABOUT}") if json.loads(path.read_text(encoding="utf-8")) == wanted]
    return max(same, default=None, key=lambda path: path.name)
