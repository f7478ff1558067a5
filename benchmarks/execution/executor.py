"""What an executor is, and how one is found."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.errors import UnknownName
from benchmarks.execution.events import Event
from benchmarks.execution.plan import Plan
from benchmarks.execution.run_spec import RunSpec
from benchmarks.execution.settings import Execution

FOLDER = Path(__file__).parent / "executors"


class Executor(Protocol):
    """Does the trainings of a plan; the results are in the run's folder, and the same whatever the executor."""

    def __init__(self, plan: Plan, folder: Path, execution: Execution) -> None:
        """Take the plan, the run's folder and how much of the machine may be used."""

    def run(self, specs: Sequence[RunSpec]) -> Iterator[Event]:
        """Do some trainings; yields `UnitStarted` and `UnitEnded` for each, and what happens between them.

        Raises
        ------
        StoreError, LeakageError
            A unit met one: the others are ended, what was finished is kept.
        """


def executor_names() -> tuple[str, ...]:
    """Names of all executors."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[!_]*.py")))


def find_executor(name: str) -> type[Executor]:
    """Import an executor by name; raises `UnknownName`."""
    if name not in executor_names():
        raise UnknownName("executor", name, executor_names())
    found: type[Executor] = importlib.import_module(f"benchmarks.execution.executors.{name}").EXECUTOR
    return found
