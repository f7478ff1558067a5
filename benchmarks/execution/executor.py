"""What an executor is and how much of the machine it may use, and how one is found by name."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UnknownName
from benchmarks.execution.events import Event
from benchmarks.execution.plan import Plan, RunSpec

FOLDER = Path(__file__).parent / "executors"


@dataclass(frozen=True)
class Execution:
    """How a run is executed. Nothing here changes a result, and nothing here is part of a key."""

    executor: str = "process"
    """Name of a module of `benchmarks/execution/executors`."""
    jobs: int = 1
    """Trainings at a time."""
    threads: int = 1
    """Threads of each training, and of scoring."""
    device: str = "cpu"
    """Torch device: "cpu", "mps", "cuda" or "cuda:N"."""
    timeout: float | None = None
    """Seconds after which one `fit` or one `predict` is ended; None: never."""
    figures: bool = True
    data_dir: Path | None = None
    """Folder with local copies of data files."""


class Executor(ABC):
    """Does the trainings of a plan; the results are in the run's folder, and the same whatever the executor."""

    def __init__(self, plan: Plan, folder: Path, execution: Execution) -> None:
        self.plan, self.folder, self.execution = plan, folder, execution

    @abstractmethod
    def run(self, specs: Sequence[RunSpec]) -> Iterator[Event]:
        """Do some trainings; yields `UnitStarted` and `UnitEnded` for each, and what happens between them.

        Raises `StoreError` or `LeakageError` where a unit does; the others are ended, what was finished is kept.
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
