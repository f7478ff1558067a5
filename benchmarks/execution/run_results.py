"""From stored predictions to result tables: scores, planted predictors, facts of the conditions, costs."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

import reports
from benchmarks.contract import Direction, Prediction
from benchmarks.data.store.atomic_files import write_csv
from benchmarks.execution import prediction_store
from benchmarks.execution.events import ScoringProgressed, Watcher, ignore
from benchmarks.execution.plan import Plan
from benchmarks.execution.prediction_store import Outcome, PredictionSet
from benchmarks.execution.settings import Execution
from benchmarks.scoring.endings import FAILURES, Ending
from benchmarks.scoring.evaluate import evaluate, score_rows
from benchmarks.scoring.prediction_summary import summarise_predictions
from benchmarks.scoring.references import REFERENCES, expected_profiles
from benchmarks.scoring.result_tables import condition_facts, metric_table
from benchmarks.scoring.scored_fold import ScoredFold, scored_fold_of
from benchmarks.scoring.training_summary import summarise_training
from benchmarks.scoring.truth_side import TruthSide, truth_side_of
from benchmarks.scoring.truth_summary import TruthSummary
from benchmarks.seeds import derive
from benchmarks.tasks.splits import Split
from reports.tables import ABILITIES, COST_COLUMNS, GROUP, MODEL_COLUMNS, SCORE_COLUMNS


def score(plan: Plan, folder: Path, execution: Execution, watch: Watcher = ignore) -> int:
    """Score all stored predictions of a plan and write tables and figures; returns how many conditions failed."""
    with threadpool_limits(execution.threads):
        tables = _tables(plan, folder, execution.threads, watch)
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    reports.write_reports(folder, figures=execution.figures)
    failed = tables["scores"][tables["scores"]["status"].isin(FAILURES)]
    return len(failed[["fold", "seed", "direction", "model", "context", "perturbation", "dose"]].drop_duplicates())


def _tables(plan: Plan, folder: Path, threads: int, watch: Watcher) -> dict[str, pd.DataFrame]:
    """Make every result table of a plan; the true side of a fold and direction is summarised once for all models."""
    scores, costs, plants, facts = [], [], [], []
    steps, last = count(), len(plan.splits) * len(plan.directions) + 1
    for fold in plan.splits:
        seed = derive(plan.question.base_seed, "score", fold.fold)
        cells = plan.cells_of(fold, folder)
        training = summarise_training(cells, fold.train, seed, fold.conditions)
        for direction in plan.directions:
            watch(ScoringProgressed(next(steps), last, f"fold {fold.fold}, {direction}"))
            question = scored_fold_of(cells, fold, direction, training, space=plan.space, seed=seed, threads=threads)
            stick = _yardstick(plan, folder, fold, question)
            facts.append(_label_task(condition_facts(question, stick.truth), plan, direction, fold))
            plants.append(_label_task(stick.planted, plan, direction, fold))
            scores += _label_references(plan, fold, question, stick)
            for task, outcome in outcomes(plan, folder, fold, direction).items():
                table = _score_model(question, stick.truth, outcome, task.folder(folder))
                scores.append(_label(table, plan, task, outcome.budget, outcome.audit))
                if direction in plan.baselines[task.model].directions:
                    costs.append(cost(task, outcome))
    watch(ScoringProgressed(next(steps), last, "tables and figures"))
    return {
        "scores": pd.concat(scores, ignore_index=True)[list(SCORE_COLUMNS)],
        "planted": pd.concat(plants, ignore_index=True),
        "conditions": pd.concat(facts, ignore_index=True),
        "costs": pd.DataFrame(costs, columns=list(COST_COLUMNS)),
        "metrics": metric_table(),
        "models": model_table(plan),
    }


def _score_model(question: ScoredFold, target: TruthSummary, outcome: Outcome, predictions: Path) -> pd.DataFrame:
    """Score one model's stored predictions of a fold."""

    def load(number: int) -> Prediction | None:
        return prediction_store.get_prediction(predictions, number) if outcome.endings[number].status == "ok" else None

    values = evaluate(question, target, summarise_predictions(question, target, load))
    return score_rows(question, target, values, outcome.endings)


def _yardstick(plan: Plan, folder: Path, fold: Split, question: ScoredFold) -> TruthSide:
    table = plan.dataset.expectation if plan.space == "log2_cp10k" else None
    expectation = expected_profiles(table, question, str(plan.cells.obs["arm"].iloc[0]))
    depends_on = f"{plan.cells_digest}/{plan.split_digests[fold.fold]}"
    depends_on += f"/{plan.integration}" if plan.integration else ""
    return truth_side_of(question, expectation, folder=folder / "truth", depends_on=depends_on)


def _label_references(plan: Plan, fold: Split, question: ScoredFold, stick: TruthSide) -> list[pd.DataFrame]:
    return [
        _label(
            score_rows(question, stick.truth, values, question.endings()),
            plan,
            PredictionSet(name, question.direction, plan.protocol, fold.fold, 0),
            "full",
            "",
        )
        for name, values in stick.references.items()
    ]


def outcomes(plan: Plan, folder: Path, fold: Split, direction: Direction) -> dict[PredictionSet, Outcome]:
    """How every task of a fold and direction ended; tasks that have not run are left out."""
    tasks = [
        PredictionSet(name, direction, plan.protocol, fold.fold, seed)
        for name in plan.baselines
        for seed in range(plan.question.seeds)
    ]
    found = {task: _outcome(plan, folder, fold, task) for task in tasks}
    return {task: outcome for task, outcome in found.items() if outcome is not None}


def _outcome(plan: Plan, folder: Path, fold: Split, task: PredictionSet) -> Outcome | None:
    """How a task ended; a direction that a model does not take ends `unsupported`, None means it has not run."""
    baseline = plan.baselines[task.model]
    if task.direction in baseline.directions:
        return prediction_store.get_outcome(task.folder(folder))
    reason = f"takes {' and '.join(baseline.directions)} only"
    return Outcome(
        key="",
        endings=tuple(Ending(c.context, c.perturbation, "unsupported", reason, c.dose) for c in fold.conditions),
    )


def _label_task(table: pd.DataFrame, plan: Plan, direction: Direction, fold: Split) -> pd.DataFrame:
    card = plan.dataset.card
    labels = (plan.suite.name, card.name, card.source, plan.protocol, direction, fold.fold)
    return table.assign(**dict(zip((*GROUP, "fold"), labels, strict=True)))


def _label(table: pd.DataFrame, plan: Plan, task: PredictionSet, budget: str, audit: str) -> pd.DataFrame:
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
        budget=budget,
        audit=audit,
    )


def cost(task: PredictionSet, outcome: Outcome) -> dict[str, object]:
    """What one task cost, as a row of costs.csv: seconds and MB."""
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


def model_table(plan: Plan) -> pd.DataFrame:
    """List a plan's models and what they can do, as models.csv."""
    return pd.DataFrame(
        [
            {
                "model": b.name,
                "directions": " ".join(b.directions),
                **{ability: getattr(b.can, ability) for ability in ABILITIES},
                "summary": b.summary,
                "limits": b.limits,
                "source": b.source,
                "licence": b.licence,
                "extra": b.extra,
            }
            for b in plan.baselines.values()
        ],
        columns=list(MODEL_COLUMNS),
    )
