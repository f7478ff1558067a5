"""The loop: every model on every fold, predictions stored, then scored, then reported."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from threadpoolctl import threadpool_limits

import reports
from benchmarks import store
from benchmarks.contract import Direction, Prediction
from benchmarks.errors import StoreError
from benchmarks.manifest import write_manifest
from benchmarks.metrics import METRICS
from benchmarks.plan import Plan, make_jobs
from benchmarks.pool import Watcher, run_jobs
from benchmarks.score import (
    REFERENCES,
    Truth,
    expected_profiles,
    score_model,
    score_references,
    training_components,
    truth_of,
)
from benchmarks.seeds import derive
from benchmarks.splits import Split
from benchmarks.store import Ending, Outcome, Task
from benchmarks.worker import Job
from reports.tables import COST_COLUMNS, SCORE_COLUMNS

RETRIED = {"failed", "timeout"}
"""Endings that `--resume` tries again."""


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    folder: Path
    failures: int
    """Conditions that failed or timed out."""
    seconds: float
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
        work = folder / "work"
        jobs = make_jobs(plan, folder, work / "cells.h5ad")
        due = [todo for job in jobs if (todo := _unfinished(job))]
        state = "stopped"
        try:
            if due:
                work.mkdir(exist_ok=True)
                plan.cells.write_h5ad(work / "cells.h5ad")
                run_jobs(due, workers=workers, timeout=timeout, watch=watch)
            state = "complete"
        finally:
            shutil.rmtree(work, ignore_errors=True)
            failures = score(plan, folder, figures=figures)
            seconds = time.perf_counter() - start
            ran = [o for job in due for t in job.tasks if (o := store.get_outcome(t.folder(folder)))]
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


def score(plan: Plan, folder: Path, *, figures: bool = True) -> int:
    """Score all stored predictions of a plan and write tables and figures; returns how many conditions failed."""
    tables, costs = [], []
    with threadpool_limits(plan.request.threads):
        for fold in plan.splits:
            seed = derive(plan.request.base_seed, "score", fold.fold)
            pca = training_components(plan.cells, fold, seed)
            for direction in plan.directions:
                truth = truth_of(plan.cells, fold, direction, pca, seed)
                tables += _score_references(plan, fold, truth)
                for task, outcome in _outcomes(plan, folder, fold, direction).items():
                    table = score_model(truth, outcome.endings, _loader(task.folder(folder)))
                    tables.append(_label(table, plan, task, outcome.budget, outcome.audit))
                    if direction in plan.baselines[task.model].directions:
                        costs.append(_cost(task, outcome))
    scores = pd.concat(tables, ignore_index=True)[list(SCORE_COLUMNS)]
    _write_csv(scores, folder / "scores.csv")
    _write_csv(pd.DataFrame(costs, columns=list(COST_COLUMNS)), folder / "costs.csv")
    _write_csv(_metric_table(), folder / "metrics.csv")
    reports.write_reports(folder, figures=figures)
    failed = scores[scores["status"].isin(RETRIED)]
    return len(failed[["fold", "seed", "direction", "model", "context", "perturbation"]].drop_duplicates())


def _score_references(plan: Plan, fold: Split, truth: Truth) -> list[pd.DataFrame]:
    expectation = plan.dataset.expectation if plan.space == "log2_cp10k" else None
    expected = expected_profiles(expectation, truth, plan.suite.arm or "none", plan.cells.var_names)
    return [
        _label(table, plan, Task(name, truth.direction, plan.protocol, fold.fold, 0), "full", "")
        for name, table in score_references(truth, expected).items()
    ]


def _outcomes(plan: Plan, folder: Path, fold: Split, direction: Direction) -> dict[Task, Outcome]:
    """How every task of a fold and direction ended; tasks that have not run are left out."""
    tasks = [
        Task(name, direction, plan.protocol, fold.fold, seed)
        for name in plan.baselines
        for seed in range(plan.request.seeds)
    ]
    found = {task: _outcome(plan, folder, fold, task) for task in tasks}
    return {task: outcome for task, outcome in found.items() if outcome is not None}


def _trainings(plan: Plan, folder: Path) -> list[dict[str, object]]:
    """What every task that has run cost, and the seed it was trained with."""
    return [
        {**_cost(task, outcome), "training_seed": outcome.training_seed}
        for fold in plan.splits
        for direction in plan.directions
        for task, outcome in _outcomes(plan, folder, fold, direction).items()
        if outcome.key
    ]


def _unfinished(job: Job) -> Job | None:
    """Cut a job down to the tasks that still have to run, their folders emptied; None if none has."""
    due = []
    for task in job.tasks:
        outcome = store.get_outcome(task.folder(job.run))
        if outcome is None or outcome.key != job.key or outcome.statuses() & RETRIED:
            store.clear(task.folder(job.run))
            due.append(task)
    return replace(job, tasks=tuple(due)) if due else None


def _outcome(plan: Plan, folder: Path, fold: Split, task: Task) -> Outcome | None:
    """How a task ended; a direction that a model does not take ends `unsupported`, None means it has not run."""
    baseline = plan.baselines[task.model]
    if task.direction in baseline.directions:
        return store.get_outcome(task.folder(folder))
    reason = f"takes {' and '.join(baseline.directions)} only"
    return Outcome(
        key="", endings=tuple(Ending(c.context, c.perturbation, "unsupported", reason) for c in fold.conditions)
    )


def _loader(folder: Path) -> Callable[[int], Prediction]:
    return lambda number: store.get_prediction(folder, number)


def _label(table: pd.DataFrame, plan: Plan, task: Task, budget: str, audit: str) -> pd.DataFrame:
    card = plan.dataset.card
    return table.assign(
        suite=plan.suite.name,
        dataset=card.name,
        source=card.source,
        protocol=task.protocol,
        direction=task.direction,
        fold=task.fold,
        seed=task.seed,
        model=task.model,
        kind="reference" if task.model in REFERENCES else "model",
        dose="",
        budget=budget,
        audit=audit,
    )


def _cost(task: Task, outcome: Outcome) -> dict[str, object]:
    return {
        "model": task.model,
        "direction": task.direction,
        "protocol": task.protocol,
        "fold": task.fold,
        "seed": task.seed,
        "fit_seconds": round(outcome.fit_seconds, 3),
        "predict_seconds": round(outcome.predict_seconds, 3),
        "peak_memory_mb": round(outcome.peak_memory_mb, 1),
        "shared_training": outcome.shared_training,
    }


def _metric_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "metric": m.name,
                "best": m.best,
                "higher_is_better": m.higher_is_better,
                "scored": m.scored,
                "summary": m.summary,
                "source": m.source,
            }
            for m in METRICS
        ]
    )


def _write_splits(folder: Path, plan: Plan) -> None:
    for fold in plan.splits:
        _write_csv(fold.roles(plan.cells.obs_names), folder / "splits" / f"{fold.protocol}-fold{fold.fold}.csv")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with store.atomic(path) as handle:
        handle.write(table.to_csv(index=False, float_format="%.10g").encode())
