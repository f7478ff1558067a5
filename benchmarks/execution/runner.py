"""The loop: every model on every fold, predictions stored, then scored, then reported."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.contract import Baseline
from benchmarks.data.store import atomic_files
from benchmarks.data.store.atomic_files import write_csv
from benchmarks.errors import IsolationError, StoreError
from benchmarks.execution import prediction_store
from benchmarks.execution.correction_report import write_integration
from benchmarks.execution.environments.model_environment import create, environment_of
from benchmarks.execution.manifest import write_manifest
from benchmarks.execution.plan import Plan, make_jobs
from benchmarks.execution.pool import Watcher, run_jobs
from benchmarks.execution.run_results import Teller, cost, outcomes, score
from benchmarks.execution.worker import Job, end_task
from benchmarks.scoring.endings import FAILURES
from benchmarks.tasks.protocols import find_protocol


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    folder: Path
    failures: int
    """Conditions that failed or timed out."""
    seconds: float
    """Seconds of the run; making environments for isolated models is not counted."""
    model_seconds: float
    """Seconds of all workers inside `fit` and `predict`; more than `seconds` where workers ran side by side."""

    @property
    def outside(self) -> float:
        """Seconds outside `fit` and `predict`; negative where workers ran side by side."""
        return self.seconds - self.model_seconds


def run(
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    timeout: float | None = None,
    figures: bool = True,
    watch: Watcher = lambda job, message: None,
    tell: Teller = lambda done, total, text: None,
) -> Result:
    """Train, predict and score everything in a plan that the folder does not hold yet.

    Parameters
    ----------
    plan
        From `plan.make_plan`.
    folder
        The run's folder; what it already holds of this plan is kept.
    workers
        Worker processes at a time.
    timeout
        Seconds after which one `fit` or one `predict` is ended.
    figures
        Whether to draw figures.
    watch
        Called with what the workers say.
    tell
        Called with how far scoring is.

    Raises
    ------
    StoreError, LeakageError
        The disk refuses, or something leaks: stopped, what was finished is kept.
    KeyboardInterrupt
        After what was finished has been scored.
    """
    with _alone(folder):
        start = time.perf_counter()
        write_manifest(folder, plan, "running")
        _write_splits(folder, plan)
        write_integration(folder, plan)
        work = folder / "work"
        jobs = make_jobs(plan, folder, work / "cells.h5ad")
        due = [todo for job in jobs if (todo := _unfinished(job))]
        state = "stopped"
        try:
            runnable, preparing = _with_environments(plan, _able(plan, due, watch), watch)
            start += preparing
            if runnable:
                work.mkdir(exist_ok=True)
                plan.cells.write_h5ad(work / "cells.h5ad")
                run_jobs(in_order(plan, runnable, workers), workers=workers, timeout=timeout, watch=watch)
            state = "complete"
        finally:
            shutil.rmtree(work, ignore_errors=True)
            failures = score(plan, folder, figures=figures, tell=tell)
            seconds = time.perf_counter() - start
            ran = [o for job in due for t in job.tasks if (o := prediction_store.get_outcome(t.folder(folder)))]
            model_seconds = sum(o.predict_seconds + (0 if o.shared_training else o.fit_seconds) for o in ran)
            trainings = _trainings(plan, folder)
            write_manifest(folder, plan, state, trainings, seconds=seconds, model_seconds=model_seconds)
        return Result(folder, failures, seconds, model_seconds)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; raises `StoreError` if one is in it."""
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise StoreError(f"Another process is running in {folder}; wait for it, or leave --resume out.") from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}; choose another --out.") from error
    with lock:
        yield


def _able(plan: Plan, jobs: Sequence[Job], watch: Watcher) -> list[Job]:
    """Leave out what is not to be trained at all (`why_not_trained`); its rows say why."""
    able = []
    for job in jobs:
        reason = why_not_trained(plan, plan.baselines[job.tasks[0].model])
        if reason:
            _decline(job, reason, watch)
        else:
            able.append(job)
    return able


def why_not_trained(plan: Plan, record: Baseline) -> str:
    """Say why a model is not trained: its record rules the question out, or preset quick does without it; else nothing."""
    asked, request = find_protocol(plan.protocol).asks, plan.request
    if asked and getattr(record.can, asked) == "no":
        return (
            f"every question of {plan.protocol} is of a new {asked}, and this model's record says {asked}: no; it was "
            "not trained"
        )
    if request.preset == "quick" and not request.models and record.name in plan.suite.slow:
        return (
            f"left out of preset quick, for it takes minutes a fold; --models {record.name} runs it, or --preset paper"
        )
    return ""


def _decline(job: Job, reason: str, watch: Watcher) -> None:
    """End a job without training; its rows carry no key, so that `--resume` tries again."""
    watch(job, ("start",))
    for task in job.tasks:
        end_task(replace(job, key=""), task, "unsupported", reason)
    watch(job, ("end",))


def _with_environments(plan: Plan, jobs: Sequence[Job], watch: Watcher) -> tuple[list[Job], float]:
    """Make the environments of isolated models; jobs of one that cannot be had end with the reason.

    Returns
    -------
    list, float
        The jobs that can run, and the seconds it took.
    """
    start, why, runnable = time.perf_counter(), dict[Path, str](), list[Job]()
    for job in jobs:
        record = plan.baselines[job.tasks[0].model]
        folder = environment_of(record).folder if record.isolated else None
        if folder and folder not in why:
            why[folder] = _make(record, job, watch)
        reason = why.get(folder, "") if folder else ""
        if not reason:
            runnable.append(job)
            continue
        _decline(job, reason, watch)
    return runnable, time.perf_counter() - start


def in_order(plan: Plan, jobs: Sequence[Job], workers: int) -> list[Job]:
    """Put models that train for long first where workers run side by side, so that none is left waiting for the last."""
    if workers == 1:
        return list(jobs)
    return sorted(jobs, key=lambda job: not plan.baselines[job.tasks[0].model].full_training)


def _make(record: Baseline, job: Job, watch: Watcher) -> str:
    """Make one model's environment; returns why it cannot be had, or nothing."""
    try:
        create(environment_of(record), lambda text: watch(job, ("environment", text)))
    except IsolationError as error:
        return str(error)
    finally:
        watch(job, ("environment", ""))
    return ""


def _trainings(plan: Plan, folder: Path) -> list[dict[str, object]]:
    """What every task that has run cost, and the seed it was trained with."""
    return [
        {**cost(task, outcome), "training_seed": outcome.training_seed}
        for fold in plan.splits
        for direction in plan.directions
        for task, outcome in outcomes(plan, folder, fold, direction).items()
        if outcome.key
    ]


def _unfinished(job: Job) -> Job | None:
    """Cut a job down to the tasks that still have to run, their folders emptied; None if none has."""
    due = []
    for task in job.tasks:
        outcome = prediction_store.get_outcome(task.folder(job.run))
        if outcome is None or outcome.key != job.key or outcome.statuses() & FAILURES:
            atomic_files.clear(task.folder(job.run))
            due.append(task)
    return replace(job, tasks=tuple(due)) if due else None


def _write_splits(folder: Path, plan: Plan) -> None:
    for fold in plan.splits:
        write_csv(fold.roles(plan.cells.obs_names), folder / "splits" / f"{fold.protocol}-fold{fold.fold}.csv")
