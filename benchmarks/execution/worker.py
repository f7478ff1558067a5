"""What happens in a worker process: one training, and the predictions of every row that uses it.

A process of its own, so that a plugin that hangs or dies takes nothing with it, memory can be measured, and a thread
count holds. It is the only place that calls `fit` and `predict`.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from anndata import AnnData
from threadpoolctl import threadpool_limits

from benchmarks.contract import Persistent, Prediction, Predictor, Query, Train
from benchmarks.data.store import atomic_files
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import ContractError, LeakageError, StoreError, Unsupported, explain
from benchmarks.execution import prediction_store
from benchmarks.execution.environments import proxy
from benchmarks.execution.environments.unit_files import read_cells
from benchmarks.execution.extras import needing
from benchmarks.execution.prediction_store import Outcome, PredictionSet
from benchmarks.registry import find
from benchmarks.scoring.endings import Ending
from benchmarks.seeds import derive
from benchmarks.tasks.batch_correction.per_fold import Integration
from benchmarks.tasks.leakage import audit_query, audit_train
from benchmarks.tasks.splits import Split, TestCondition


@dataclass(frozen=True)
class Job:
    """One training and the tasks it serves."""

    run: Path
    cells: Path
    """Prepared cells (h5ad), in the run's space."""
    split: Split
    tasks: tuple[PredictionSet, ...]
    settings: Mapping[str, object]
    seed: int
    key: str
    """Content hash of training data, settings and seed."""
    budget: str
    space: str
    perturbation_type: str
    annotation: Mapping[str, frozenset[str]]
    integration: Integration | None = None
    """How cells are corrected when they are read, with the fold's parameters; None leaves them as they are."""
    plugins: tuple[Path, ...] = ()
    threads: int = 1
    device: str = "cpu"
    extra: str = ""
    """Extra of pyproject.toml that the predictor needs."""

    @property
    def fitted(self) -> Path:
        """Where a predictor that can be saved is kept."""
        return self.run / "fitted" / f"{self.tasks[0].model}-{self.key[:16]}"


class Reporter:
    """Tell the parent what this worker is doing."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def stage(self, name: str) -> None:
        """Say that a step began; the time limit counts from here."""
        self.connection.send(("stage", name))

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Say how far training is."""
        self.connection.send(("progress", int(done), int(total), str(text)))


def work(job: Job, connection: Connection) -> None:
    """Run one job; every ending of every condition is in the store afterwards, unless the process is killed."""
    os.setsid()  # so that the parent can end this process with all its children
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    os.environ["OMP_NUM_THREADS"] = str(job.threads)  # read by torch when a plugin imports it
    reporter = Reporter(connection)
    try:
        with threadpool_limits(job.threads):
            _run(job, reporter)
        connection.send(("done",))
    except (StoreError, LeakageError) as error:
        connection.send(("stop", error))
    finally:
        connection.close()


def _run(job: Job, reporter: Reporter) -> None:
    cells = read_cells(job.cells)
    if job.integration:
        cells = job.integration.read(job.run, job.split, cells)
    train_cells = cells[job.split.train].copy()
    audit = audit_train(train_cells, job.split, cells)
    try:
        with needing(job.extra):
            predictor, seconds, restored = _fitted(job, train_cells, reporter)
    except Unsupported as error:
        _end_all(job, "unsupported", str(error), audit)
        return
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it becomes a row with a reason
        _end_all(job, "failed", explain(error), audit)
        return
    for number, task in enumerate(job.tasks):
        endings, predict_seconds = _predict_all(job, task, predictor, cells, reporter)
        prediction_store.put_outcome(
            task.folder(job.run),
            Outcome(
                key=job.key,
                endings=tuple(endings),
                audit=audit,
                budget=job.budget,
                training_seed=job.seed,
                fit_seconds=seconds,
                predict_seconds=predict_seconds,
                peak_memory_mb=_peak_memory_mb() + proxy.peak_memory_mb(predictor),
                shared_training=restored or number > 0,
            ),
        )


def _fitted(job: Job, train_cells: AnnData, reporter: Reporter) -> tuple[Predictor, float, bool]:
    """Train, or restore what was trained before; returns the predictor, the training's seconds and "restored"."""
    predictor = proxy.build(find(job.tasks[0].model, job.plugins), job.settings, job.cells.parent)
    if isinstance(predictor, Persistent) and (job.fitted / "cost.txt").is_file():
        predictor.load(job.fitted)
        return predictor, float((job.fitted / "cost.txt").read_text()), True
    before = digest(train_cells)
    workdir = Path(tempfile.mkdtemp(dir=job.cells.parent, prefix="fit-"))  # the runner removes what a kill leaves
    try:
        train = Train(
            cells=train_cells,
            space=job.space,
            perturbation_type=job.perturbation_type,
            annotation=job.annotation,
            workdir=workdir,
            device=job.device,
            report=reporter.progress,
        )
        reporter.stage("fit")
        start = time.perf_counter()
        predictor.fit(train, seed=job.seed)
        seconds = time.perf_counter() - start
    finally:
        shutil.rmtree(workdir, ignore_errors=True)
    if digest(train_cells) != before:
        raise ContractError("fit changed its training cells; work on a copy (train.cells.copy()).")
    if isinstance(predictor, Persistent):
        _save(predictor, job.fitted, seconds)
    return predictor, seconds, False


def _save(predictor: Persistent, folder: Path, seconds: float) -> None:
    """Keep a trained predictor; the cost file comes last and says that it is whole."""
    atomic_files.clear(folder)
    predictor.save(folder)
    with atomic_files.atomic(folder / "cost.txt") as handle:
        handle.write(f"{seconds:.6f}".encode())


def _predict_all(
    job: Job, task: PredictionSet, predictor: Predictor, cells: AnnData, reporter: Reporter
) -> tuple[list[Ending], float]:
    endings, seconds = [], 0.0
    for number, condition in enumerate(job.split.conditions):
        reporter.stage(f"predict {task.direction}")
        start = time.perf_counter()
        ending = _predict_one(job, task, predictor, cells, number)
        seconds += time.perf_counter() - start
        endings.append(Ending(condition.context, condition.perturbation, *ending, condition.dose))
    return endings, seconds


def _predict_one(job: Job, task: PredictionSet, predictor: Predictor, cells: AnnData, number: int) -> tuple[str, str]:
    condition = job.split.conditions[number]
    query = make_query(condition, task, cells, job.seed)
    hidden = np.concatenate([condition.truth(task.direction), condition.reference(task.direction)])
    if not job.split.leaky:
        audit_query(query, set(cells.obs_names[hidden]))
    try:
        with needing(job.extra):
            prediction = checked_predict(predictor, query)
    except Unsupported as error:
        return "unsupported", str(error)
    except Exception as error:  # noqa: BLE001 - see _run
        return "failed", explain(error)
    prediction_store.put_prediction(task.folder(job.run), number, prediction)
    return "ok", prediction.note


def make_query(condition: TestCondition, task: PredictionSet, cells: AnnData, seed: int) -> Query:
    """Build the question: input cells and labels, nothing of the truth."""
    chosen = cells[condition.input(task.direction)].copy()
    start_dose, dose = condition.doses(task.direction)
    return Query(
        context=condition.context,
        perturbation=condition.perturbation,
        direction=task.direction,
        cells=chosen,
        seed=derive(seed, condition.context, condition.perturbation, task.direction, *condition.dose_words),
        dose=dose,
        start_dose=start_dose,
    )


def checked_predict(predictor: Predictor, query: Query) -> Prediction:
    """Ask a predictor and hold its answer to the contract.

    Raises
    ------
    ContractError
        The answer is no `Prediction`, has another number or order of genes, or the input cells were changed.
    """
    before = digest(query.cells)
    prediction = predictor.predict(query)
    if not isinstance(prediction, Prediction):
        raise ContractError(
            f"predict returned a {type(prediction).__name__}; expected a benchmarks.contract.Prediction."
        )
    if prediction.values.shape[1] != query.cells.n_vars:
        raise ContractError(
            f"predict returned {prediction.values.shape[1]} genes; the query has {query.cells.n_vars}. "
            "Return one column for each of query.cells.var_names, in that order."
        )
    if prediction.genes is not None and tuple(prediction.genes) != tuple(query.cells.var_names):
        wrong = [g for g, h in zip(prediction.genes, query.cells.var_names, strict=False) if g != h]
        raise ContractError(
            f"predict returned other genes or another order, first '{wrong[0] if wrong else '?'}'; "
            "order the columns as query.cells.var_names."
        )
    if digest(query.cells) != before:
        raise ContractError("predict changed its input cells; work on a copy (query.cells.copy()).")
    return prediction


def _end_all(job: Job, status: str, reason: str, audit: str) -> None:
    """End every condition of every task alike."""
    for task in job.tasks:
        end_task(job, task, status, reason, audit)


def end_task(job: Job, task: PredictionSet, status: str, reason: str, audit: str = "") -> None:
    """Record that the conditions of a task without a prediction ended this way; those that have one are kept."""
    folder = task.folder(job.run)
    folder.mkdir(parents=True, exist_ok=True)
    endings = []
    for number, condition in enumerate(job.split.conditions):
        done = prediction_store.prediction_path(folder, number).is_file()
        ending = ("ok", "") if done else (status, reason)
        endings.append(Ending(condition.context, condition.perturbation, *ending, condition.dose))
    prediction_store.put_outcome(folder, Outcome(job.key, tuple(endings), audit, job.budget, job.seed))


def _peak_memory_mb() -> float:
    """Peak resident memory of this process and the largest of its children, in MB."""
    scale = 1e6 if sys.platform == "darwin" else 1e3
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / scale
