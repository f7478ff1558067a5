"""A unit of work: one training, and the predictions of every model and direction that it serves.

Predictions are scored block by block while they are made, and dropped unless they are to be kept: what stays are values and
mean profiles. A unit is idempotent: it does nothing where the outcomes of its key are there, and writes each outcome last. It runs in the
process of the harness, which has all cells; the predictor is a `Model` that gets training cells and queries only. Each
direction is asked of a predictor of its own, since the inputs of one are part of the truth of the other: one that is
restored from disk, or trained again with the same seed where it cannot be saved.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from benchmarks.contract import Direction, Prediction, Query, Train
from benchmarks.data.cell_table import CellTable, read, select
from benchmarks.data.store.atomic_files import clear
from benchmarks.data.store.sealed_folder import SEAL, read_seal, seal
from benchmarks.errors import BenchmarkError, LeakageError, ModelTimeout, ScoringError, StoreError, Unsupported, explain
from benchmarks.execution import prediction_store as store
from benchmarks.execution.events import Progressed, StageStarted, UnitFailed, Watcher, ignore
from benchmarks.execution.fold_cells import FoldCells
from benchmarks.execution.fold_scoring import FoldScoring
from benchmarks.execution.ledger import forget_records, read_record, remember_record
from benchmarks.execution.models.child_model import Model
from benchmarks.execution.plan import Plan, RunSpec
from benchmarks.execution.prediction_store import Outcome, PredictionSet, digest_of, get_outcome, put_outcome
from benchmarks.execution.proof import LEAK, NOT_PROVED, prove
from benchmarks.execution.score_store import new_means, put_scores
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.scored_set import ScoredSet
from benchmarks.scoring.summaries import summarise_predictions
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import Index
from benchmarks.tasks.fold_statistics import FoldStatistics, fold_statistics
from benchmarks.tasks.leakage import HiddenCells, audit_query, audit_train
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
    proving: bool = False
    """Whether predictions are proved, see `proof`."""
    keeping: bool = False
    """Whether predictions are kept when they have been scored."""
    shared_scoring: FoldScoring | None = None
    """What units of one process share of scoring; default: the unit has its own."""

    @property
    def fold(self) -> Split:
        """Training cells and conditions."""
        return self.plan.splits[self.spec.fold]

    @cached_property
    def scoring(self) -> FoldScoring:
        """Folds as they are scored."""
        return self.shared_scoring or FoldScoring(self.plan, self.folder)

    def run(self, open_model: Callable[[], Model], open_child: Callable[[], Model] | None = None) -> list[Ending]:
        """Train and predict what is due with models that are opened, and prove it; returns the endings of all conditions.

        `open_child` opens the models of the proof, in a process of their own; default: as `open_model`. Raises `StoreError`,
        `LeakageError` or `ScoringError`, which end the whole run, if nothing can be written, something leaks, or scoring fails.
        """
        due = self.spec.due(self.folder)
        if not due and not (self.proving and self.spec.unproved(self.folder)):
            return self.endings()
        self.clear()
        cells = self.plan.cells_of(self.fold, self.folder)
        prints = self.plan.prints_of(self.fold, cells)
        train = select(cells, self.fold.train)
        audit = audit_train(train, self.fold, cells, prints=(prints[self.fold.train], prints))
        try:
            for entry in due:
                with _opened(open_model) as model:
                    cost = self._fit(model, cells)
                    self._predict(model, entry, cells, replace(cost, audit=audit))
        except (StoreError, LeakageError, ScoringError):
            raise
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it becomes a row with a reason
            self.end(*self._explain(error), audit)
        for entry in self.spec.unproved(self.folder) if self.proving else ():
            self._prove(entry, cells, open_model, open_child or open_model)
        return self.endings()

    def endings(self) -> list[Ending]:
        """Endings of all conditions that have one."""
        outcomes = [get_outcome(entry.folder(self.folder)) for entry in self.spec.sets]
        return [ending for outcome in outcomes if outcome for ending in outcome.endings]

    def clear(self) -> None:
        """Remove what is left of the sets that are due."""
        for entry in self.spec.due(self.folder):
            store.clear_set(entry.folder(self.folder))

    def end(self, status: str, reason: str, audit: str = "", key: str | None = None) -> None:
        """Write the outcome of every set that has none: conditions without a prediction end with this status.

        The key of the outcome is the spec's, or "" where a resumed run is to try again.
        """
        key = self.spec.key if key is None else key
        for folder in (entry.folder(self.folder) for entry in self.spec.sets):
            if get_outcome(folder) is not None:
                continue
            endings = [self._ending(c, status, reason) for c in self.fold.conditions]
            digests = ("",) * len(endings)
            put_outcome(folder, Outcome(key, tuple(endings), digests, audit, self.spec.budget, self.spec.seed))

    def _fit(self, model: Model, cells: CellTable) -> Outcome:
        """Train, or restore what this user trained before; returns an outcome without endings, with what the training cost."""
        outcome = Outcome(self.spec.key, (), budget=self.spec.budget, training_seed=self.spec.seed)
        fitted = self.spec.fitted(self.folder)
        kept = self._read_seal() if model.persistent else None
        if kept:
            model.load(fitted)
            return replace(outcome, fit_seconds=float(kept["fit_seconds"]), shared_training=True)
        self.emit(StageStarted(self.spec, "fit"))
        model.fit(self._training(cells, self._kept_statistics), seed=self.spec.seed)
        seconds = model.seconds
        if model.persistent:
            forget_records(fitted)
            clear(fitted)
            model.save(fitted)
            seal(fitted, key=self.spec.key, fit_seconds=seconds)  # comes last: the folder is complete
            remember_record(fitted / SEAL)
        return replace(outcome, fit_seconds=seconds)

    def _kept_statistics(self, cells: CellTable) -> FoldStatistics:
        return self.plan.statistics_of(self.fold, self.folder, cells)

    def _new_statistics(self, cells: CellTable) -> FoldStatistics:
        return fold_statistics(cells, self.fold.train, self.plan.seed_of(self.fold))

    def _training(self, cells: CellTable, statistics: Callable[[CellTable], FoldStatistics]) -> Train:
        """Give the fold's training cells among the cells of the data set, and what `statistics` says of them."""
        return Train(
            data=FoldCells(cells, self.fold.train, partial(statistics, cells), self.plan.seed_of(self.fold)),
            space=self.plan.space,
            perturbation_type=self.plan.dataset.card.perturbation_type,
            annotation=self.plan.dataset.annotation,
            device=self.device,
            report=self._report,
        )

    def _hidden(self, cells: CellTable, direction: Direction) -> HiddenCells:
        return HiddenCells(cells, self.fold, direction, self.plan.prints_of(self.fold, cells))

    def _read_seal(self) -> dict[str, Any] | None:
        """Read what was said of the training when it was saved; None where nothing is kept, or not what was saved."""
        fitted = self.spec.fitted(self.folder)
        try:
            kept = read_seal(fitted, read_record(fitted / SEAL))
        except OSError:
            return None
        return kept if kept and kept["key"] == self.spec.key else None

    def _report(self, done: int, total: int, text: str = "") -> None:
        self.emit(Progressed(self.spec, done, total, text))

    def _predict(self, model: Model, entry: PredictionSet, cells: CellTable, outcome: Outcome) -> None:
        """Predict every condition of a set and score it, block by block, and write the outcome last."""
        self.emit(StageStarted(self.spec, f"predict {entry.direction}"))
        folder, asked = entry.folder(self.folder), _Asked(self._hidden(cells, entry.direction))
        try:
            blocked = self.scoring.of(self.fold, entry.direction)
            with new_means(folder) as file:
                scored = ScoredSet(blocked.fold, file)
                for block in blocked.blocks():
                    known = zip(block.numbers, block.truth.profiles, block.fold.start, strict=True)
                    answers = [self._answer(model, entry, cells, asked, *one) for one in known]
                    scored.add(block, summarise_predictions(block.fold, block.truth, answers.__getitem__))
            outcome = put_scores(folder, scored, outcome)
        except (StoreError, LeakageError):
            raise
        except Exception as error:
            raise ScoringError(f"{self.spec.name}: predictions cannot be scored: {explain(error)}") from error
        ended = replace(
            outcome,
            endings=tuple(asked.endings),
            digests=tuple(asked.digests),
            predict_seconds=asked.seconds,
            peak_memory_mb=model.peak_memory_mb,
            kept=self.keeping,
        )
        if asked.copied:
            ended = ended.judged(f"{LEAK}{asked.why} ({asked.copied} of {asked.n_rows} rows of all conditions)")
        put_outcome(folder, ended)
        if asked.stopped:
            raise asked.stopped

    def _answer(
        self,
        model: Model,
        entry: PredictionSet,
        cells: CellTable,
        asked: _Asked,
        number: int,
        truth: np.ndarray,
        start: np.ndarray,
    ) -> Prediction | None:
        """Ask one question, and remember how it ended; None where there is no prediction.

        `truth` and `start` are mean profiles of the condition [gene], which copies are told by.
        """
        condition = self.fold.conditions[number]
        query = make_query(condition, entry.direction, cells, self.spec.seed, asked.input)
        asked.input = query.cells, condition.input(entry.direction)
        if not self.fold.leaky:
            unseen = np.concatenate([condition.truth(entry.direction), condition.reference(entry.direction)])
            audit_query(query, cells.obs.index[unseen])
        try:
            if asked.stopped:  # the model was ended by an earlier question
                raise asked.stopped
            prediction = model.predict(query)
        except (StoreError, LeakageError):
            raise
        except Exception as error:  # noqa: BLE001 - see run
            asked.input = None  # the cells may have been changed
            asked.endings.append(self._ending(condition, *self._explain(error)))
            asked.digests.append("")
            asked.stopped = error if isinstance(error, ModelTimeout) else None
            return None
        asked.seconds += model.seconds
        if self.keeping:
            store.put_prediction(entry.folder(self.folder), number, prediction)
        asked.endings.append(self._ending(condition, "ok", prediction.note))
        asked.digests.append(digest := digest_of(prediction))
        if asked.last is None or asked.last[0] != digest:
            asked.last = digest, prediction
        prediction = asked.last[1]  # one object where a model predicts the same again, which is summarised once
        asked.n_rows += len(prediction)
        if not self.fold.leaky:
            rows, what = asked.hidden.found_in(prediction, truth, start)
            asked.copied, asked.why = asked.copied + rows, asked.why or what
        return prediction

    def _prove(
        self, entry: PredictionSet, cells: CellTable, open_model: Callable[[], Model], open_child: Callable[[], Model]
    ) -> None:
        """Prove the predictions of a set, and write the result into its outcome."""
        outcome = get_outcome(entry.folder(self.folder))
        if outcome is None:
            return
        self.emit(StageStarted(self.spec, f"prove {entry.direction}"))
        others = tuple(dict.fromkeys(s.direction for s in self.spec.sets))
        hidden, start = self._hidden(cells, entry.direction), time.perf_counter()
        try:
            ask, repeat = partial(self._ask, open_child), partial(self._ask, open_model)
            verdict = prove(hidden, outcome.digests, others, ask, repeat, self.spec.seed)
        except (StoreError, LeakageError):
            raise
        except Exception as error:  # noqa: BLE001 - see run
            verdict = f"{NOT_PROVED}{self._explain(error)[1]}"
        proved = replace(outcome.judged(verdict), proof_seconds=time.perf_counter() - start)
        put_outcome(entry.folder(self.folder), proved)

    def _ask(
        self, open_model: Callable[[], Model], cells: CellTable, questions: Sequence[tuple[int, Direction]]
    ) -> list[str]:
        """Train a new predictor on the training cells among those given, and ask; see `proof.Ask`."""
        answers = []
        with _opened(open_model) as model:
            model.fit(self._training(cells, self._new_statistics), seed=self.spec.seed)
            for number, direction in questions:
                query = make_query(self.fold.conditions[number], direction, cells, self.spec.seed)
                try:
                    answers.append(digest_of(model.predict(query)))
                except (StoreError, LeakageError, ModelTimeout):
                    raise
                except Exception:  # noqa: BLE001 - a condition without a prediction
                    answers.append("")
        return answers

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


@dataclass
class _Asked:
    """How the questions of a set have ended so far."""

    hidden: HiddenCells
    endings: list[Ending] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    input: tuple[AnnData, Index] | None = None
    """Input cells of the last question, and their positions."""
    last: tuple[str, Prediction] | None = None
    """Digest of the last prediction, and the prediction."""
    seconds: float = 0.0
    n_rows: int = 0
    copied: int = 0
    """Predicted rows that are hidden cells."""
    why: str = ""
    stopped: ModelTimeout | None = None


@contextmanager
def _opened(open_model: Callable[[], Model]) -> Iterator[Model]:
    model = open_model()
    try:
        yield model
    finally:
        model.close()


def make_query(
    condition: TestCondition,
    direction: Direction,
    cells: CellTable,
    seed: int,
    last: tuple[AnnData, Index] | None = None,
) -> Query:
    """Build a query of input cells and labels, with nothing of the truth; `last` are cells that were read, and where."""
    start_dose, dose = condition.doses(direction)
    positions = condition.input(direction)
    known = last[0] if last is not None and np.array_equal(last[1], positions) else None
    return Query(
        context=condition.context,
        perturbation=condition.perturbation,
        direction=direction,
        cells=read(cells, positions) if known is None else known,
        seed=derive(seed, condition.context, condition.perturbation, direction, *condition.dose_words),
        dose=dose,
        start_dose=start_dose,
    )
