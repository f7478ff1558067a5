"""From what units of work left to result tables: scores, planted predictors, facts of the conditions, costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from itertools import count, product
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.contract import Direction, Prediction
from benchmarks.errors import StoreError
from benchmarks.execution.board import Board
from benchmarks.execution.cell_maps import cell_maps
from benchmarks.execution.events import ScoringProgressed, Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.fold_scoring import FoldScoring
from benchmarks.execution.gene_changes import gene_changes, genes_of_condition
from benchmarks.execution.prediction_store import Outcome, PredictionSet, checked_prediction, put_outcome
from benchmarks.execution.score_store import get_scores, new_means, open_means, put_scores
from benchmarks.freed_memory import return_freed
from benchmarks.scoring.endings import FAILURES
from benchmarks.scoring.evaluate import Scores, Values, condition_facts, metric_table, score_rows
from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.references import Calibration, calibrate
from benchmarks.scoring.result_folder import compact, join, write_results
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.scored_set import BlockedFold, Profiles, ScoredSet, scratch, with_retrieval
from benchmarks.scoring.summaries import summarise_predictions
from benchmarks.tasks.splits import Split
from reports.tables import CELL_COLUMNS, CHANGE_COLUMNS, COST_COLUMNS, MODEL_COLUMNS, PREDICTED, SCORE_COLUMNS


def score(board: Board, folder: Path, execution: Execution, watch: Watcher = ignore) -> int:
    """Add retrieval and references to the scores in a run's folder, and write tables and figures.

    Returns how many conditions failed, of the models that are asked now.
    """
    with threadpool_limits(execution.threads):
        tables = _tables(board, folder, execution, watch)
    return_freed()
    failed = _count_failed(tables["scores"], list(board.plan.baselines))
    write_results(folder, tables, board.plan.notes, figures=execution.figures)
    return failed


def _count_failed(scores: pd.DataFrame, models: Sequence[str]) -> int:
    failed = scores[scores["status"].isin(FAILURES) & scores["model"].isin(models)]
    return len(failed[["fold", "seed", "direction", "model", "context", "perturbation", "dose"]].drop_duplicates())


def _tables(board: Board, folder: Path, execution: Execution, watch: Watcher) -> dict[str, pd.DataFrame]:
    """Make every result table of a board."""
    plan, scoring = board.plan, FoldScoring(board.plan, folder, execution.threads)
    scores, costs, planted, facts, changes, cells = [], [], [], [], [], []
    leaks = _leaks(board, folder)
    n_conditions = sum(len(split.conditions) for split in plan.splits) * len(plan.directions)
    most = genes_of_condition(n_conditions, len(board.models))
    steps, last = count(), len(plan.splits) * len(plan.directions) + 1
    for split, direction, blocked, calibration in _calibrated(board, scoring, execution.jobs):
        watch(ScoringProgressed(next(steps), last, f"fold {split.fold}, {direction}"))
        fold, known = blocked.fold, blocked.facts()
        labels = plan.labels | {"direction": direction, "fold": split.fold}
        facts.append(condition_facts(fold, known.n_significant_genes, known.bandwidths).assign(**labels))
        planted.append(compact(calibration.planted.assign(**labels)))
        for name, values in calibration.references.items():
            table = score_rows(fold, values, fold.endings())
            marks = {"budget": "full", "audit": ""}
            scores.append(compact(table.assign(**labels, seed=0, model=name, kind="reference", **marks)))
        with scratch(blocked.folder) as file:
            truth = blocked.profiles(file)
            outcomes = {
                entry: outcome.judged(leaks.get((entry.model, direction), outcome.audit))
                for entry, outcome in board.outcomes(folder, split, direction).items()
            }
            for entry, outcome in outcomes.items():
                table = _score_model(blocked, truth, outcome, entry.folder(folder))
                marks = {"budget": outcome.budget, "audit": outcome.audit}
                table = table.assign(**labels, seed=entry.seed, model=entry.model, kind="model", **marks)
                scores.append(compact(table))
                if outcome.key:
                    costs.append(cost(entry, outcome))
            changes.append(gene_changes(fold, truth, outcomes, folder, most).assign(**labels))
            if execution.figures and split.fold == 0:
                cells.append(cell_maps(fold, known.n_significant_genes, outcomes, folder).assign(**labels))
    watch(ScoringProgressed(next(steps), last, "tables and figures"))
    return {
        "scores": join(scores)[list(SCORE_COLUMNS)],
        "planted": join(planted),
        "conditions": pd.concat(facts, ignore_index=True),
        "umap": pd.concat(cells or [pd.DataFrame(columns=list(CELL_COLUMNS))], ignore_index=True)[list(CELL_COLUMNS)],
        "changes": _ordered(pd.concat(changes, ignore_index=True), CHANGE_COLUMNS),
        "costs": pd.DataFrame(costs, columns=list(COST_COLUMNS)),
        "metrics": metric_table(),
        "models": pd.DataFrame([kept.record for kept in board.models.values()], columns=list(MODEL_COLUMNS)),
    }


def _ordered(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Put the columns named first, then those of models."""
    return table[[*columns, *(name for name in table if str(name).startswith(PREDICTED))]]


def _calibrated(
    board: Board, scoring: FoldScoring, jobs: int
) -> Iterator[tuple[Split, Direction, BlockedFold, Calibration]]:
    """Yield every fold and direction with the scores of references and planted predictors, of which `jobs` are made at a time."""
    tasks = list(product(board.plan.splits, board.plan.directions))

    def make(task: tuple[Split, Direction]) -> tuple[BlockedFold, Calibration]:
        blocked = scoring.of(*task)
        # each may use the threads of all, which the others leave to the last one when they have ended
        shared = replace(blocked, fold=replace(blocked.fold, threads=jobs * blocked.fold.threads))
        return blocked, calibrate(shared, scoring.expectation())

    with ThreadPoolExecutor(jobs) as threads:
        for task, found in zip(tasks, threads.map(make, tasks), strict=True):
            yield *task, *found


def _leaks(board: Board, folder: Path) -> dict[tuple[str, Direction], str]:
    """Map model and direction to a leak found in any fold: none of its other folds is believed then."""
    tasks = product(board.plan.splits, board.plan.directions)
    found = (item for split, direction in tasks for item in board.outcomes(folder, split, direction).items())
    return {(entry.model, entry.direction): outcome.audit for entry, outcome in found if outcome.leaks}


def _score_model(blocked: BlockedFold, truth: Profiles, outcome: Outcome, folder: Path) -> pd.DataFrame:
    """Lay out the scores of a set; a condition whose scores or prediction are damaged or changed is failed."""
    fold, endings = blocked.fold, list(outcome.endings)
    if all(ending.status != "ok" for ending in endings):
        return score_rows(fold, _no_values(fold), endings)
    try:
        single = get_scores(folder, outcome)
    except StoreError as error:
        if outcome.kept:
            return _score_again(blocked, truth, outcome, folder)
        endings = [replace(e, status="failed", reason=str(error)) if e.status == "ok" else e for e in endings]
        return score_rows(fold, _no_values(fold), endings)
    with open_means(folder) as means:
        return score_rows(fold, with_retrieval(fold, single, truth, means), endings)


def _score_again(blocked: BlockedFold, truth: Profiles, outcome: Outcome, folder: Path) -> pd.DataFrame:
    """Score predictions that were kept, and write what stays of them."""
    endings = list(outcome.endings)

    def load(first: int, number: int) -> Prediction | None:
        if endings[first + number].status != "ok":
            return None
        try:
            return checked_prediction(folder, first + number, outcome)
        except StoreError as error:
            endings[first + number] = replace(endings[first + number], status="failed", reason=str(error))
            return None

    with new_means(folder) as file:
        scored = ScoredSet(blocked.fold, file)
        for block in blocked.blocks():
            scored.add(block, summarise_predictions(block.fold, block.truth, partial(load, block.numbers.start)))
        values = scored.all(truth)
    put_outcome(folder, put_scores(folder, scored, replace(outcome, endings=tuple(endings))))
    return score_rows(blocked.fold, values, endings)


def _no_values(fold: ScoredFold) -> Values:
    """Values of a set without predictions."""
    asked = [m.name for m in METRICS if m.family != "retrieval" or fold.direction == "n2p"]
    return {name: Scores(np.full(len(fold), np.nan), np.full(len(fold), "needs_cells")) for name in asked}


def cost(entry: PredictionSet, outcome: Outcome) -> dict[str, object]:
    """Seconds and MB of one prediction set, as a row of costs.csv."""
    return {
        **asdict(entry),
        "fit_seconds": round(outcome.fit_seconds, 3),
        "predict_seconds": round(outcome.predict_seconds, 3),
        "peak_memory_mb": round(outcome.peak_memory_mb, 1),
        "shared_training": outcome.shared_training,
    }
