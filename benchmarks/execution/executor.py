"""What an executor is and how much of the machine it may use, and how one is found by name."""

from __future__ import annotations

import importlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks.data.download import cache_dir
from benchmarks.errors import BenchmarkError, UnknownName
from benchmarks.execution.events import Event, Watcher
from benchmarks.execution.fold_scoring import FoldScoring
from benchmarks.execution.memory import default_memory
from benchmarks.execution.models.child_model import ChildModel
from benchmarks.execution.models.model_environment import root as environments
from benchmarks.execution.plan import Plan, RunSpec
from benchmarks.execution.unit import Unit

FOLDER = Path(__file__).parent / "executors"
OPTIONS = ("scheduler", "cluster_file", "bundle")
"""Fields of `Execution` that only some executors take."""


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
    prove: bool = False
    """Whether every training is repeated with noise in place of all hidden cells, see `proof`."""
    keep_predictions: bool = False
    """Whether predictions are kept when they have been scored; their mean profiles always are."""
    memory: int = field(default_factory=default_memory)
    """Bytes that all trainings of a moment may take together; those that read all cells are left out where they take more
    (see `memory`)."""
    figures: bool = True
    data_dir: Path | None = None
    """Folder with local copies of data files."""
    scheduler: str | None = None
    """Address of a Dask scheduler, such as "tcp://10.0.0.1:8786"; None: the executor starts its own."""
    cluster_file: Path | None = None
    """File of parameters of a cluster, see `cluster_file`."""
    bundle: int | None = None
    """Short units of one job of a cluster; None: the executor's own number."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", self.device):  # whether the machine has it is found by the models
            raise BenchmarkError(f"--device is '{self.device}'; expected cpu, cuda, cuda:N or mps.")


class Executor(ABC):
    """Does the trainings of a plan; the results are in the run's folder, and the same whatever the executor.

    Making one raises `BenchmarkError` where it cannot do what `execution` says.
    """

    shared = False
    """Whether units run in processes that have only the run's folder (see `worker`)."""
    here = False
    """Whether models are trained in this process, so that they need not be in a file."""
    takes: tuple[str, ...] = ()
    """Those of `OPTIONS` that it takes."""

    def __init__(self, plan: Plan, folder: Path, execution: Execution) -> None:
        self.plan, self.folder, self.execution = plan, folder, execution
        for name in OPTIONS:
            if getattr(execution, name) is not None and name not in self.takes:
                option = name.replace("_", "-")
                raise BenchmarkError(f"--{option} is not for --executor {execution.executor}; leave it out.")
        objects = [record.name for record in plan.session.models if record.isolated or not self.here]
        if objects:
            raise BenchmarkError(
                f"{', '.join(objects)}: given as an object, which no other process can import. Use --executor inline, or "
                "write the model into a file and name it with --plugin (a model that is isolated always needs one)."
            )
        if plan.session.cells is not None and self.shared:
            raise BenchmarkError(
                f"The cells are in memory, and --executor {execution.executor} trains on other machines; write them to an "
                "h5ad file and give its path, or use --executor process."
            )

    def unit(self, spec: RunSpec, emit: Watcher) -> Unit:
        """Make the unit of work of a training."""
        asked = self.execution
        return Unit(
            self.plan,
            self.folder,
            spec,
            asked.device,
            emit,
            proving=asked.prove,
            keeping=asked.keep_predictions,
            shared_scoring=self.scoring,
        )

    @cached_property
    def scoring(self) -> FoldScoring:
        """Folds as they are scored, shared by the units of this process."""
        return FoldScoring(self.plan, self.folder, self.execution.threads)

    def forget(self) -> None:
        """Release what scoring keeps in memory, so that tables and reports can use it."""
        self.__dict__.pop("scoring", None)

    def open_child(self, spec: RunSpec) -> ChildModel:
        """Open a model in a process that can read neither the data nor what runs have kept (see `confinement`)."""
        limits = self.execution
        return ChildModel(
            spec.record, spec.settings, hidden=self.hidden, threads=limits.threads, timeout=limits.timeout
        )

    @cached_property
    def hidden(self) -> list[Path]:
        """Data files and their caches, this run's folder, and the runs beside it."""
        folder, own = self.folder.resolve(), self.plan.question.own
        places = self.execution.data_dir, os.environ.get("CYCSEQ_DATA"), self.plan.session.store
        data = [*places, own.path if own else None]
        cached = [path for path in cache_dir().glob("*") if path != environments()]
        runs = [manifest.parent.resolve() for manifest in folder.parents[1].glob("*/*/manifest.json")]
        return [folder, *runs, *cached, *(Path(path) for path in data if path)]

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
