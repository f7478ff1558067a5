"""A run: every training of a plan that its folder does not hold yet, then scores, tables and reports.

`run` does all of it; `plan_units` and `collect` do what comes before and after the units, which `worker` does elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.contract import Baseline
from benchmarks.data.store.atomic_files import write_csv
from benchmarks.data.store.folder_digests import drop_sums, write_sums
from benchmarks.errors import BenchmarkError, IsolationError, StoreError
from benchmarks.execution.board import Board, board_of
from benchmarks.execution.correction_report import write_integration
from benchmarks.execution.events import Preparing, RunStarted, RunStopped, UnitEnded, UnitStarted, Watcher, ignore
from benchmarks.execution.executor import Execution, find_executor
from benchmarks.execution.ledger import drop_changed_files, ledger, watch_files
from benchmarks.execution.manifest import read_manifest, write_manifest
from benchmarks.execution.memory import COPIES, bytes_of_cells, bytes_of_condition, in_words
from benchmarks.execution.models.model_environment import Environment, create, environment_of
from benchmarks.execution.plan import Plan, RunSpec, make_plan
from benchmarks.execution.prediction_store import PredictionSet, get_outcome
from benchmarks.execution.run_results import cost, score
from benchmarks.execution.score_store import drop_unusable
from benchmarks.execution.unit import Unit
from benchmarks.execution.unit_list import UnitList, read_units, write_units
from benchmarks.tasks.protocol import find_protocol


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    folder: Path
    failures: int
    """Conditions that failed or timed out, of the plan's models."""
    seconds: float
    """Seconds of the run; making environments of models is not counted."""
    model_seconds: float
    """Seconds of all models inside `fit` and `predict`; more than `seconds` where several ran at a time."""
    complete: bool = True
    """Whether everything that was asked has run."""
    left: Sequence[int] = ()
    """Numbers of the units of a planned run that have no outcome."""


def run(plan: Plan, folder: Path, execution: Execution | None = None, watch: Watcher = ignore) -> Result:
    """Train and predict everything in a plan that the folder does not hold yet, and score all that it was ever asked for.

    `execution` says how it is done; `watch` is called with every event.

    Raises
    ------
    BenchmarkError
        One condition takes more memory than the run may use. The executor cannot do what `execution` says, or lost the
        machines that it works with; what was finished is scored.
    StoreError
        The disk refuses, another process runs in the folder, or it holds a run of something else.
    LeakageError
        A test cell, a held-out condition or a statistic of them is in what a model would get.
    ScoringError
        Predictions cannot be scored, by a fault of this program.
    KeyboardInterrupt
        After what was finished has been scored.
    """
    execution = execution or Execution()
    check_memory(plan, execution.memory)
    executor = find_executor(execution.executor)(plan, folder, execution)
    with alone(folder), ledger(folder, shared=executor.shared):
        going = Going.begin(plan, folder, execution, watch)
        trained, proved = going.due()
        state = "stopped"
        try:
            runnable = going.prepare({*trained, *proved})
            if executor.shared:
                going.write_units(runnable)
            else:
                watch_files(folder)
            for event in executor.run(runnable):
                watch(event)
            state = "complete"
        except KeyboardInterrupt:
            watch(RunStopped())
            raise
        finally:
            executor.forget()
            drop_changed_files(folder)
            result = going.finish(state, trained, proved)
        return result


def plan_units(plan: Plan, folder: Path, execution: Execution, watch: Watcher = ignore) -> UnitList:
    """Make a run's folder with everything that `worker.do_unit` needs, and the environments of isolated models.

    What cannot be trained is ended with the reason; it is no unit. Raises `StoreError`, and `BenchmarkError` for the memory, as
    `run` does.
    """
    check_memory(plan, execution.memory)
    with alone(folder), ledger(folder, shared=True):
        going = Going.begin(plan, folder, execution, watch)
        trained, proved = going.due()
        units = going.write_units(going.prepare({*trained, *proved}))
        write_manifest(folder, going.board, execution, "planned")
        return units


def collect(
    folder: Path,
    watch: Watcher = ignore,
    *,
    threads: int | None = None,
    figures: bool = True,
    plugins: Sequence[Path] = (),
    data_dir: Path | None = None,
) -> Result:
    """Score what the units of a planned run have left behind so far; what is missing is `not_run`.

    `plugins` are files that may be imported; `threads` and `data_dir` are those of the plan where they are not given. Raises
    `StoreError` as `run` does, and for a folder that is no plan, or that was planned with other data, plugins or another
    version of the code.
    """
    units = read_units(folder, plugins)
    execution = replace(
        units.execution,
        threads=threads or units.execution.threads,
        figures=figures,
        data_dir=data_dir or units.execution.data_dir,
    )
    plan = make_plan(units.question, execution.data_dir)
    with alone(folder), ledger(folder, shared=True):
        going = Going.begin(plan, folder, execution, watch)
        going.introduce()
        sets = [entry for spec in plan.specs for entry in spec.sets]
        state = "complete" if going.board.is_complete(folder) else "stopped"
        result = going.finish(state, sets, sets if execution.prove else [])
        missing = {s.key for s in plan.specs if any(get_outcome(entry.folder(folder)) is None for entry in s.sets)}
        return replace(result, left=[number for key, number in units.numbers.items() if key in missing])


@dataclass
class Going:
    """A run that goes on in its folder, which this process has locked."""

    plan: Plan
    folder: Path
    execution: Execution
    watch: Watcher
    board: Board
    start: float
    """Time at which it began; making environments does not count."""

    @classmethod
    def begin(cls, plan: Plan, folder: Path, execution: Execution, watch: Watcher, board: Board | None = None) -> Going:
        """Write the manifest, the splits and the parameters of batch correction.

        `board` is what the folder shows; default: the plan, and what was asked of the folder before.
        """
        if read_manifest(folder).get("key", plan.key) != plan.key:
            raise StoreError(f"{folder} holds a run of other data, splits or settings; choose another --out.")
        start = time.perf_counter()
        drop_sums(folder)
        board = board or board_of(plan, folder, execution.data_dir)
        write_manifest(folder, board, execution, "running")
        for fold in board.plan.splits:
            roles = fold.roles(plan.cells.obs.index)
            write_csv(roles, folder / "splits" / f"{fold.protocol}-fold{fold.fold}.csv")
        write_integration(folder, board.plan)
        return cls(plan, folder, execution, watch, board, start)

    def due(self) -> tuple[list[PredictionSet], list[PredictionSet]]:
        """Sets that are to be predicted, and to be proved; what was changed, or scored by other code, is dropped first."""
        for entry in (entry for spec in self.plan.specs for entry in spec.sets):
            drop_unusable(entry.folder(self.folder), keep=self.execution.keep_predictions)
        trained = [entry for spec in self.plan.specs for entry in spec.due(self.folder)]
        proved = [entry for spec in self.plan.specs for entry in spec.unproved(self.folder) if self.execution.prove]
        return trained, proved

    def prepare(self, sets: Collection[PredictionSet]) -> list[RunSpec]:
        """Introduce the run, and prepare the trainings that some sets of predictions need (see `_prepared`)."""
        specs = [spec for spec in self.plan.specs if not set(sets).isdisjoint(spec.sets)]
        self.introduce(specs, sets)
        needed = _summarise_training(self.plan, self.folder, specs, self.watch)
        preparing = time.perf_counter()
        runnable = _prepared(self.plan, self.folder, specs, needed, self.execution, self.watch)
        self.start += time.perf_counter() - preparing
        return runnable

    def introduce(self, specs: Sequence[RunSpec] = (), sets: Collection[PredictionSet] = ()) -> None:
        """Tell the watcher of the run, of the trainings that it does, and of the disk that some sets of predictions will take."""
        kept = tuple(name for name in self.board.models if name not in self.plan.baselines)
        need = disk_need(self.plan, list(sets), keep=self.execution.keep_predictions)
        self.watch(RunStarted(self.plan, self.folder, specs, kept, need))

    def write_units(self, specs: Sequence[RunSpec]) -> UnitList:
        """Write what other processes need to do these trainings."""
        return write_units(self.folder, self.plan.key, self.board.question, self.execution, specs)

    def finish(self, state: str, trained: Sequence[PredictionSet], proved: Sequence[PredictionSet]) -> Result:
        """Score, and write tables, pages and the manifest; `trained` and `proved` are what this run is said to have cost."""
        board, folder, execution = self.board, self.folder, self.execution
        failures = score(board, folder, execution, self.watch)
        seconds = time.perf_counter() - self.start
        now = {entry: get_outcome(entry.folder(folder)) for entry in (*trained, *proved)}
        costs = [o for entry in trained if (o := now[entry])]
        model_seconds = sum(o.predict_seconds + (0 if o.shared_training else o.fit_seconds) for o in costs)
        model_seconds += sum(o.proof_seconds for o in now.values() if o and execution.prove)
        trainings = [
            {**cost(entry, outcome), "training_seed": outcome.training_seed}
            for fold in board.plan.splits
            for direction in board.plan.directions
            for entry, outcome in board.outcomes(folder, fold, direction).items()
            if outcome.key
        ]
        write_manifest(folder, board, execution, state, trainings, seconds=seconds, model_seconds=model_seconds)
        write_sums(folder, execution.jobs * execution.threads)
        return Result(folder, failures, seconds, model_seconds, state == "complete")


def disk_need(plan: Plan, sets: Sequence[PredictionSet], *, keep: bool) -> int:
    """Bytes, about, that sets of predictions take on disk, with what scoring keeps of the truth and of the training cells."""
    n_genes, number = len(plan.cells.var_names), 8
    folds = {(s.fold, s.direction): plan.splits[s.fold] for s in sets}
    truth = sum(len(fold.conditions) * (2 * number + 1) for fold in folds.values())
    labels = plan.cells.obs[["context", "perturbation", "dose"]]
    training = len({s.fold for s in sets}) * 4 * number * len(labels.drop_duplicates())
    means = number * sum(len(plan.splits[s.fold].conditions) for s in sets)
    cells = sum(len(c.input(s.direction)) for s in sets for c in plan.splits[s.fold].conditions) if keep else 0
    return n_genes * (truth + training + means + 4 * cells)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; raises `StoreError` if one is in it."""
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"Another process is running in {folder}; wait for it, or use another folder (leave --resume out)."
        ) from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}; choose another --out.") from error
    with lock:
        yield


def _summarise_training(plan: Plan, folder: Path, specs: Sequence[RunSpec], watch: Watcher) -> dict[int, int]:
    """Make the statistics of training cells that are not in the folder yet, one fold after the other.

    Returns fold → bytes that a training takes which reads all cells.
    """
    folds, needed = sorted({spec.fold for spec in specs}), {}
    for number, fold in enumerate(folds, 1):
        watch(Preparing(f"statistics of the training cells, fold {number} of {len(folds)}"))
        found = plan.statistics_of(plan.splits[fold], folder)
        needed[fold] = bytes_of_cells(found.n_values, int(found.n.sum()))
    watch(Preparing(""))
    return needed


def _prepared(
    plan: Plan,
    folder: Path,
    specs: Sequence[RunSpec],
    needed: Mapping[int, int],
    execution: Execution,
    watch: Watcher,
) -> list[RunSpec]:
    """Make the environments of isolated models, end what is not trained with the reason, and return what can be."""
    failed, runnable = dict[Path, str](), list[RunSpec]()
    for spec in specs:
        reason = why_not_trained(plan, spec.record) or too_large(spec.record, needed[spec.fold], execution)
        if not reason and spec.record.isolated:
            environment = environment_of(spec.record)
            if environment.folder not in failed:
                failed[environment.folder] = _make(environment, watch)
            reason = failed[environment.folder]
        if not reason:
            runnable.append(spec)
            continue
        watch(UnitStarted(spec))
        unit = Unit(plan, folder, spec)
        unit.clear()
        unit.end("unsupported", reason, key="")
        watch(UnitEnded(spec, unit.endings()))
    return runnable


def why_not_trained(plan: Plan, record: Baseline) -> str:
    """Say why a model is not trained: its record rules out what is asked, or preset quick leaves it out; else ""."""
    asked, question = find_protocol(plan.protocol).requires, plan.question
    if asked and getattr(record.can, asked) == "no":
        new = f"every condition of {plan.protocol} is of a new {asked}"
        return f"{new}, and this model's record says {asked}: no; it was not trained"
    if question.preset == "quick" and not question.models and record.name in plan.suite.slow:
        return f"left out of preset quick: it takes minutes a fold; --models {record.name} runs it, or --preset paper"
    return ""


def too_large(record: Baseline, needed: int, execution: Execution) -> str:
    """Say why a model is not trained that reads all cells, which takes so many bytes: more than a training may use; else ""."""
    if record.needs != "cells" or needed <= execution.memory / execution.jobs:
        return ""
    jobs = f", for {execution.jobs} trainings at a time (--jobs)" if execution.jobs > 1 else ""
    return (
        f"it reads all training cells, which takes about {in_words(needed)} of memory ({COPIES} copies); the limit is "
        f"{in_words(execution.memory)}{jobs}. Give more with --memory, or use fewer --contexts or --perturbations"
    )


def check_memory(plan: Plan, memory: int) -> None:
    """Raise `BenchmarkError` where the largest input of a condition takes more memory than the run may use."""
    inputs = (len(c.input(d)) for fold in plan.splits for c in fold.conditions for d in plan.directions)
    needed = bytes_of_condition(max(inputs, default=0), len(plan.cells.var_names))
    if needed > memory:
        raise BenchmarkError(
            f"The memory limit is {in_words(memory)}, and one condition takes {in_words(needed)}; give at least that with "
            "--memory."
        )


def _make(environment: Environment, watch: Watcher) -> str:
    """Make an environment; returns why that is not possible, or ""."""
    try:
        create(environment, lambda text: watch(Preparing(text)))
    except IsolationError as error:
        return str(error)
    finally:
        watch(Preparing(""))
    return ""
