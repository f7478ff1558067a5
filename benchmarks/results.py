"""From stored predictions to result tables: scores, planted predictors, facts of the conditions, costs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import reports
from benchmarks import store
from benchmarks.contract import Direction, Prediction
from benchmarks.metrics import METRICS
from benchmarks.plan import Plan
from benchmarks.scoring import (
    REFERENCES,
    Question,
    Target,
    Yardstick,
    evaluate,
    expected_profiles,
    output_of,
    question_of,
    score_rows,
    training_of,
    yardstick_of,
)
from benchmarks.seeds import derive
from benchmarks.splits import Split
from benchmarks.store import Ending, Outcome, Task
from reports.tables import ABILITIES, COST_COLUMNS, GROUP, MODEL_COLUMNS, SCORE_COLUMNS

Teller = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what comes now."""
FAILURES = {"failed", "timeout"}
"""Endings that are failures; `--resume` tries them again."""


def score(plan: Plan, folder: Path, *, figures: bool = True, tell: Teller = lambda done, total, text: None) -> int:
    """Score all stored predictions of a plan and write tables and figures; returns how many conditions failed."""
    with threadpool_limits(plan.request.threads):
        tables = _tables(plan, folder, tell)
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    reports.write_reports(folder, figures=figures)
    failed = tables["scores"][tables["scores"]["status"].isin(FAILURES)]
    return len(failed[["fold", "seed", "direction", "model", "context", "perturbation", "dose"]].drop_duplicates())


def _tables(plan: Plan, folder: Path, tell: Teller) -> dict[str, pd.DataFrame]:
    """Make every result table of a plan; the true side of a fold and direction is summarised once for all models."""
    scores, costs, plants, facts = [], [], [], []
    steps, last = count(), len(plan.splits) * len(plan.directions) + 1
    for fold in plan.splits:
        seed = derive(plan.request.base_seed, "score", fold.fold)
        cells = plan.cells_of(fold, folder)
        training = training_of(cells, fold.train, seed, fold.conditions)
        for direction in plan.directions:
            tell(next(steps), last, f"fold {fold.fold}, {direction}")
            question = question_of(
                cells, fold, direction, training, space=plan.space, seed=seed, threads=plan.request.threads
            )
            stick = _yardstick(plan, folder, fold, question)
            facts.append(_label_task(condition_facts(question, stick.target), plan, direction, fold))
            plants.append(_label_task(stick.planted, plan, direction, fold))
            scores += _label_references(plan, fold, question, stick)
            for task, outcome in outcomes(plan, folder, fold, direction).items():
                table = _score_model(question, stick.target, outcome, task.folder(folder))
                scores.append(_label(table, plan, task, outcome.budget, outcome.audit))
                if direction in plan.baselines[task.model].directions:
                    costs.append(cost(task, outcome))
    tell(next(steps), last, "tables and figures")
    return {
        "scores": pd.concat(scores, ignore_index=True)[list(SCORE_COLUMNS)],
        "planted": pd.concat(plants, ignore_index=True),
        "conditions": pd.concat(facts, ignore_index=True),
        "costs": pd.DataFrame(costs, columns=list(COST_COLUMNS)),
        "metrics": metric_table(),
        "models": model_table(plan),
    }


def _score_model(question: Question, target: Target, outcome: Outcome, predictions: Path) -> pd.DataFrame:
    """Score one model's stored predictions of a fold."""

    def load(number: int) -> Prediction | None:
        return store.get_prediction(predictions, number) if outcome.endings[number].status == "ok" else None

    values = evaluate(question, target, output_of(question, target, load))
    return score_rows(question, target, values, outcome.endings)


def _yardstick(plan: Plan, folder: Path, fold: Split, question: Question) -> Yardstick:
    table = plan.dataset.expectation if plan.space == "log2_cp10k" else None
    expectation = expected_profiles(table, question, str(plan.cells.obs["arm"].iloc[0]))
    depends_on = f"{plan.cells_digest}/{plan.split_digests[fold.fold]}"
    depends_on += f"/{plan.integration}" if plan.integration else ""
    return yardstick_of(question, expectation, folder=folder / "truth", depends_on=depends_on)


def _label_references(plan: Plan, fold: Split, question: Question, stick: Yardstick) -> list[pd.DataFrame]:
    return [
        _label(
            score_rows(question, stick.target, values, question.endings()),
            plan,
            Task(name, question.direction, plan.protocol, fold.fold, 0),
            "full",
            "",
        )
        for name, values in stick.references.items()
    ]


def condition_facts(question: Question, target: Target) -> pd.DataFrame:
    """What a reader must know of each condition: cells on every side, genes changed, the kernel's bandwidth."""
    return pd.DataFrame(
        {
            **question.labels(),
            "start_dose": np.array([c.start_dose for c in question.conditions], dtype=np.float64),
            "n_truth_cells": target.n_cells,
            "n_input_cells": [len(c.input(question.direction)) for c in question.conditions],
            "n_reference_cells": [len(c.reference(question.direction)) for c in question.conditions],
            "n_significant_genes": target.significant.sum(axis=1),
            "mmd_bandwidth": target.bandwidths,
        }
    )


def outcomes(plan: Plan, folder: Path, fold: Split, direction: Direction) -> dict[Task, Outcome]:
    """How every task of a fold and direction ended; tasks that have not run are left out."""
    tasks = [
        Task(name, direction, plan.protocol, fold.fold, seed)
        for name in plan.baselines
        for seed in range(plan.request.seeds)
    ]
    found = {task: _outcome(plan, folder, fold, task) for task in tasks}
    return {task: outcome for task, outcome in found.items() if outcome is not None}


def _outcome(plan: Plan, folder: Path, fold: Split, task: Task) -> Outcome | None:
    """How a task ended; a direction that a model does not take ends `unsupported`, None means it has not run."""
    baseline = plan.baselines[task.model]
    if task.direction in baseline.directions:
        return store.get_outcome(task.folder(folder))
    reason = f"takes {' and '.join(baseline.directions)} only"
    return Outcome(
        key="",
        endings=tuple(Ending(c.context, c.perturbation, "unsupported", reason, c.dose) for c in fold.conditions),
    )


def _label_task(table: pd.DataFrame, plan: Plan, direction: Direction, fold: Split) -> pd.DataFrame:
    card = plan.dataset.card
    labels = (plan.suite.name, card.name, card.source, plan.protocol, direction, fold.fold)
    return table.assign(**dict(zip((*GROUP, "fold"), labels, strict=True)))


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
        budget=budget,
        audit=audit,
    )


def cost(task: Task, outcome: Outcome) -> dict[str, object]:
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


def metric_table() -> pd.DataFrame:
    """List all metrics, as metrics.csv."""
    return pd.DataFrame(
        [
            {
                "metric": m.name,
                "family": m.family,
                "best": m.best,
                "higher_is_better": m.higher_is_better,
                "scored": m.scored,
                "undefined": m.undefined,
                "summary": m.summary,
                "source": m.source,
            }
            for m in METRICS
        ]
    )


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


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all; raises `StoreError`."""
    with store.atomic(path) as handle:
        handle.write(table.to_csv(index=False, float_format="%.10g").encode())
