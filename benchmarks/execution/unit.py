"""A unit of work: one training, and the predictions of every model and direction that it serves.

It is idempotent: it does nothing where the outcomes of its key are there, and writes each outcome last. It runs in the
process of the harness, which has all cells; the predictor is a `Model` that gets training cells and queries only.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from anndata import AnnData

from benchmarks.contract import Query, Train
from benchmarks.data.store.atomic_files import clear
from benchmarks.data.store.sealed_folder import read_seal, seal
from benchmarks.errors import BenchmarkError, LeakageError, ModelTimeout, StoreError, Unsupported, explain
from benchmarks.execution import prediction_store as store
from benchmarks.execution.events import Progressed, StageStarted, UnitFailed, Watcher, ignore
from benchmarks.execution.models.child_model import Model
from benchmarks.execution.models.unit_files import plain
from benchmarks.execution.plan import Plan, RunSpec
from benchmarks.execution.prediction_store import Outcome, PredictionSet, get_outcome, put_outcome
from benchmarks.scoring.endings import Ending
from benchmarks.seeds import derive
from benchmarks.tasks.leakage import audit_query, audit_train
from benchmarks.tasks.splits import Split, TestCondition


@dataclass(frozen=True)
class Unit:
    """One `RunSpec` of a plan in a run's folder."""

    plan: Plan
    folder: Path
    spec: RunSpec
    device: str = "cpu"
    """Torch device that the model trains on."""
    emit: Watcher = ignore
    """Called with `StageStarted`, `Progressed` and `UnitFailed`."""

    @property
    def fold(self) -> Split:
        """Training cells and conditions."""
        return self.plan.splits[self.spec.fold]

    def run(self, open_model: Callable[[], Model]) -> list[Ending]:
        """Train and predict what is due with the model that is opened; returns the endings of all its conditions.

        Raises `StoreError` or `LeakageError`, which end the whole run, if nothing can be written or something leaks.
        """
        due = self.spec.due(self.folder)
        if not due:
            return self.endings()
        self.clear()
        cells = self.plan.cells_of(self.fold, self.folder)
        train = plain(cells[self.fold.train])
        audit = audit_train(train, self.fold, cells)
        model = None
        try:
            model = open_model()
            cost = self._fit(model, train)
            for entry in due:
                self._predict(model, entry, cells, replace(cost, audit=audit))
                cost = replace(cost, shared_training=True)
        except (StoreError, LeakageError):
            raise
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it becomes a row with a reason
            self.end(*self._explain(error), audit)
        finally:
            if model:
                model.close()
        return self.endings()

    def endings(self) -> list[Ending]:
        """Endings of all conditions that have one."""
        outcomes = [get_outcome(entry.folder(self.folder)) for entry in self.spec.sets]
        return [ending for outcome in outcomes if outcome for ending in outcome.endings]

    def clear(self) -> None:
        """Remove what is left of the sets that are due."""
        for entry in self.spec.due(self.folder):
            clear(entry.folder(self.folder))

    def end(self, status: str, reason: str, audit: str = "", key: str | None = None) -> None:
        """Write the outcome of every set that has none: conditions without a prediction end with this status.

        The key of the outcome is the spec's, or "" where a resumed run is to try again.
        """
        key = self.spec.key if key is None else key
        for folder in (entry.folder(self.folder) for entry in self.spec.sets):
            if get_outcome(folder) is not None:
                continue
            endings = [
                self._ending(c, "ok") if store.prediction_path(folder, n).is_file() else self._ending(c, status, reason)
                for n, c in enumerate(self.fold.conditions)
            ]
            put_outcome(folder, Outcome(key, tuple(endings), audit, self.spec.budget, self.spec.seed))

    def _fit(self, model: Model, cells: AnnData) -> Outcome:
        """Train, or restore what this user trained before; returns an outcome without endings, with what the training cost."""
        outcome = Outcome(self.spec.key, (), budget=self.spec.budget, training_seed=self.spec.seed)
        fitted = self.spec.fitted(self.folder)
        kept = read_seal(fitted) if model.persistent else None
        if kept and kept["key"] == self.spec.key:
            model.load(fitted)
            return replace(outcome, fit_seconds=kept["fit_seconds"], shared_training=True)
        self.emit(StageStarted(self.spec, "fit"))
        train = Train(
            cells=cells,
            space=self.plan.space,
            perturbation_type=self.plan.dataset.card.perturbation_type,
            annotation=self.plan.dataset.annotation,
            device=self.device,
            report=self._report,
        )
        model.fit(train, seed=self.spec.seed)
        seconds = model.seconds
        if model.persistent:
            clear(fitted)
            model.save(fitted)
            seal(fitted, key=self.spec.key, fit_seconds=seconds)  # comes last: the folder is complete
        return replace(outcome, fit_seconds=seconds)

    def _report(self, done: int, total: int, text: str = "") -> None:
        self.emit(Progressed(self.spec, done, total, text))

    def _predict(self, model: Model, entry: PredictionSet, cells: AnnData, outcome: Outcome) -> None:
        """Predict every condition of a set, and write its outcome last."""
        self.emit(StageStarted(self.spec, f"predict {entry.direction}"))
        endings, seconds, folder = [], 0.0, entry.folder(self.folder)
        for number, condition in enumerate(self.fold.conditions):
            query = make_query(condition, entry, cells, self.spec.seed)
            hidden = np.concatenate([condition.truth(entry.direction), condition.reference(entry.direction)])
            if not self.fold.leaky:
                audit_query(query, set(cells.obs_names[hidden]))
            try:
                prediction = model.predict(query)
                seconds += model.seconds
            except (StoreError, LeakageError, ModelTimeout):
                raise
            except Exception as error:  # noqa: BLE001 - see run
                endings.append(self._ending(condition, *self._explain(error)))
                continue
            store.put_prediction(folder, number, prediction)
            endings.append(self._ending(condition, "ok", prediction.note))
        ended = replace(outcome, endings=tuple(endings), predict_seconds=seconds)
        put_outcome(folder, replace(ended, peak_memory_mb=model.peak_memory_mb))

    def _explain(self, error: Exception) -> tuple[str, str]:
        """Status and reason of the rows of a model that raised this; the traceback of a plugin's own error is an event."""
        if isinstance(error, Unsupported):
            return "unsupported", str(error)
        if not isinstance(error, BenchmarkError):
            self.emit(UnitFailed(self.spec, "".join(traceback.format_exception(error))))
        return "timeout" if isinstance(error, ModelTimeout) else "failed", explain(error)

    @staticmethod
    def _ending(condition: TestCondition, status: str, reason: str = "") -> Ending:
        return Ending(condition.context, condition.perturbation, status, reason, condition.dose)


def make_query(condition: TestCondition, entry: PredictionSet, cells: AnnData, seed: int) -> Query:
    """Build a query of input cells and labels, with nothing of the truth."""
    start_dose, dose = condition.doses(entry.direction)
    return Query(
        context=condition.context,
        perturbation=condition.perturbation,
        direction=entry.direction,
        cells=plain(cells[condition.input(entry.direction)]),
        seed=derive(seed, condition.context, condition.perturbation, entry.direction, *condition.dose_words),
        dose=dose,
        start_dose=start_dose,
    )
