"""From stored predictions to result tables: scores, planted predictors, facts of the conditions, costs."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import count, product
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

import reports
from benchmarks.contract import Direction, Prediction
from benchmarks.data.store.atomic_files import write_csv, write_json
from benchmarks.errors import StoreError
from benchmarks.execution import prediction_store
from benchmarks.execution.board import Board
from benchmarks.execution.events import ScoringProgressed, Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import Plan
from benchmarks.execution.prediction_store import Outcome, PredictionSet
from benchmarks.scoring.endings import FAILURES
from benchmarks.scoring.evaluate import condition_facts, evaluate, metric_table, score_rows
from benchmarks.scoring.references import TruthSide, expected_profiles, truth_side_of
from benchmarks.scoring.scored_fold import ScoredFold, scored_fold_of, summarise_training
from benchmarks.scoring.summaries import TruthSummary, summarise_predictions
from benchmarks.tasks.splits import Split
from reports.tables import COST_COLUMNS, MODEL_COLUMNS, SCORE_COLUMNS


def score(board: Board, folder: Path, execution: Execution, watch: Watcher = ignore) -> int:
    """Score all predictions of a run's folder and write tables and figures.

    Returns how many conditions failed, of the models that are asked now.
    """
    with threadpool_limits(execution.threads):
        tables = _tables(board, folder, execution.threads, watch)
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    write_json(folder / "notes.json", list(board.plan.notes))
    reports.write_reports(folder, figures=execution.figures)
    scores = tables["scores"]
    failed = scores[scores["status"].isin(FAILURES) & scores["model"].isin(list(board.plan.baselines))]
    return len(failed[["fold", "seed", "direction", "model", "context", "perturbation", "dose"]].drop_duplicates())


def _tables(board: Board, folder: Path, threads: int, watch: Watcher) -> dict[str, pd.DataFrame]:
    """Make every result table of a board; the truth of a fold and direction is summarised once for all models."""
    plan = board.plan
    scores, costs, planted, facts = [], [], [], []
    leaks = _leaks(board, folder)
    steps, last = count(), len(plan.splits) * len(plan.directions) + 1
    for split in plan.splits:
        seed = plan.seed_of(split)
        cells = plan.cells_of(split, folder)
        training = summarise_training(cells, split.train, seed, split.conditions)
        for direction in plan.directions:
            watch(ScoringProgressed(next(steps), last, f"fold {split.fold}, {direction}"))
            fold = scored_fold_of(cells, split, direction, training, space=plan.space, seed=seed, threads=threads)
            side = _truth_side(plan, folder, split, fold)
            labels = plan.labels | {"direction": direction, "fold": split.fold}
            facts.append(condition_facts(fold, side.truth).assign(**labels))
            planted.append(side.planted.assign(**labels))
            for name, values in side.references.items():
                table = score_rows(fold, side.truth, values, fold.endings())
                scores.append(table.assign(**labels, seed=0, model=name, kind="reference", budget="full", audit=""))
            for entry, outcome in board.outcomes(folder, split, direction).items():
                if (entry.model, direction) in leaks:
                    outcome = outcome.judged(leaks[entry.model, direction])
                table = _score_model(fold, side.truth, outcome, entry.folder(folder))
                marks = {"budget": outcome.budget, "audit": outcome.audit}
                scores.append(table.assign(**labels, seed=entry.seed, model=entry.model, kind="model", **marks))
                if outcome.key:
                    costs.append(cost(entry, outcome))
    watch(ScoringProgressed(next(steps), last, "tables and figures"))
    return {
        "scores": pd.concat(scores, ignore_index=True)[list(SCORE_COLUMNS)],
        "planted": pd.concat(planted, ignore_index=True),
        "conditions": pd.concat(facts, ignore_index=True),
        "costs": pd.DataFrame(costs, columns=list(COST_COLUMNS)),
        "metrics": metric_table(),
        "models": pd.DataFrame([kept.record for kept in board.models.values()], columns=list(MODEL_COLUMNS)),
    }


def _leaks(board: Board, folder: Path) -> dict[tuple[str, Direction], str]:
    """Map model and direction to a leak found in any fold: none of its other folds is believed then."""
    tasks = product(board.plan.splits, board.plan.directions)
    found = (item for split, direction in tasks for item in board.outcomes(folder, split, direction).items())
    return {(entry.model, entry.direction): outcome.audit for entry, outcome in found if outcome.leaks}


def _score_model(fold: ScoredFold, truth: TruthSummary, outcome: Outcome, predictions: Path) -> pd.DataFrame:
    """Score one model's stored predictions of a fold; a condition whose prediction is damaged or changed is failed."""
    endings = list(outcome.endings)

    def load(number: int) -> Prediction | None:
        if endings[number].status != "ok":
            return None
        try:
            return prediction_store.checked_prediction(predictions, number, outcome)
        except StoreError as error:
            endings[number] = replace(endings[number], status="failed", reason=str(error))
            return None

    values = evaluate(fold, truth, summarise_predictions(fold, truth, load))
    if endings != list(outcome.endings):
        prediction_store.put_outcome(predictions, replace(outcome, endings=tuple(endings)))
    return score_rows(fold, truth, values, endings)


def _truth_side(plan: Plan, folder: Path, split: Split, fold: ScoredFold) -> TruthSide:
    """Summarise the truth, or read its summary where the run's folder has it."""
    table = plan.dataset.expectation if plan.space == "log2_cp10k" else None
    expectation = expected_profiles(table, fold, str(plan.cells.obs["arm"].iloc[0]))
    depends_on = f"{plan.cells_digest}/{plan.split_digests[split.fold]}"
    depends_on += f"/{plan.integration}" if plan.integration else ""
    return truth_side_of(fold, expectation, folder=folder / "truth", depends_on=depends_on)


def cost(entry: PredictionSet, outcome: Outcome) -> dict[str, object]:
    """Seconds and MB of one prediction set, as a row of costs.csv."""
    return {
        **asdict(entry),
        "fit_seconds": round(outcome.fit_seconds, 3),
        "predict_seconds": round(outcome.predict_seconds, 3),
        "peak_memory_mb": round(outcome.peak_memory_mb, 1),
        "shared_training": outcome.shared_training,
    }
