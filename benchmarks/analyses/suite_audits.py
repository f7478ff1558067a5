"""Audits of a suite: what leakage, the wrong direction and batch correction do to its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.contract import Prediction
from benchmarks.errors import UnknownName
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.load_run import DirectedCondition, FinishedRun
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import run
from benchmarks.scoring.cell_sets import mean_profile, take
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.evaluate import evaluate, score_rows
from benchmarks.scoring.metrics.all_metrics import METRICS, find_metric
from benchmarks.scoring.scored_fold import ScoredFold, scored_fold_of
from benchmarks.scoring.summaries import TruthSummary, summarise_predictions, summarise_truth
from benchmarks.scoring.training_summary import summarise_training
from benchmarks.seeds import derive
from benchmarks.tasks.batch_correction.batches import MEANING, METHODS
from benchmarks.tasks.question import Question
from reports import load
from reports.pages.audits_page import write_audits
from reports.stats import audits as audit_tables
from reports.tables import SCORE_COLUMNS

AUDITS = ("protocols", "direction", "integration")
LEAKY = "resampled"
INTEGRATED = "held_out_cells"
"""Protocol of the integration audit: per-condition ComBat needs training cells of every condition."""
Answers = list[Prediction | None]
"""A p2n prediction for every condition; None where there is none."""


def run_audits(
    question: Question,
    out: Path,
    audits: Sequence[str] = AUDITS,
    execution: Execution | None = None,
    watch: Watcher = ignore,
) -> tuple[list[Path], int]:
    """Run what is not there yet in `out`, then write tables, figures and the page.

    The audits, some of `AUDITS`, change protocol and integration of the suite's own question. A suite of one direction has
    no audit of its direction.

    Returns
    -------
    list of Path, int
        What was written, and how many conditions failed.

    Raises
    ------
    UnknownName, BenchmarkError
        An audit that does not exist, or what `make_plan` refuses.
    """
    for name in audits:
        if name not in AUDITS:
            raise UnknownName("audit", name, AUDITS)
    execution, failures = replace(execution or Execution(), figures=False), []

    def run_with(**changes: Any) -> tuple[Plan, Path]:
        """Run the question with some changes, or go on with that run; returns its plan and folder."""
        asked = replace(question, **changes)
        plan = make_plan(asked, execution.data_dir)
        folder = out / "runs" / f"{plan.suite.name}-{plan.protocol}-{asked.integration}-{asked.preset}"
        failures.append(run(plan, folder, execution, watch).failures)
        return plan, folder

    tables: dict[str, pd.DataFrame] = {}
    if {"protocols", "direction"} & set(audits):
        plan, folder = run_with()
        honest = load(folder)
        if "protocols" in audits:
            tables["protocols"] = audit_tables.compare_protocols(honest, load(run_with(protocol=LEAKY, folds=1)[1]))
        if "direction" in audits and len(plan.directions) > 1:
            answers = wrong_answers(
                FinishedRun(folder, plan, {name: b.directions for name, b in plan.baselines.items()})
            )
            tables["direction"] = audit_tables.judge_directions(honest, answers)
            tables["direction_metrics"] = audit_tables.rate_metrics(answers, honest.metrics)
    if "integration" in audits:
        folders = {str(m): run_with(protocol=INTEGRATED, integration=m, folds=1)[1] for m in METHODS}
        effects = {m: pd.read_csv(f / "integration" / "effects.csv") for m, f in folders.items() if m != "none"}
        tables["integration"] = audit_tables.compare_integrations({m: load(f) for m, f in folders.items()}, effects)
    return write_audits(tables, MEANING, out), sum(failures)


def wrong_answers(finished: FinishedRun) -> pd.DataFrame:
    """Score every model's n2p change, and two planted predictors, as answers to p2n.

    An answer is the mean profile of p2n's input plus a change. A model's change is what it predicted for the same condition
    in n2p. The planted change is the input's difference to the context's training controls, which are neither truth nor
    reference: subtracted it is right, added it is the prediction of a model that ignores the direction.

    Returns
    -------
    DataFrame
        Rows of scores.csv (`SCORE_COLUMNS`): every metric of the planted predictors, `audit_tables.DIRECTION_METRICS` of models.
    """
    asked = finished.conditions("n2p")
    finished.conditions("p2n")
    tables = []
    for fold in finished.plan.splits:
        cells = finished.cells_of(fold)
        seed = derive(finished.plan.question.base_seed, "score", fold.fold)
        training = summarise_training(cells, fold.train, seed)
        question = scored_fold_of(cells, fold, "p2n", training, space=finished.plan.space, seed=seed)
        target = summarise_truth(question)
        own = [one for one in asked if one.split is fold]
        answers = _planted(question, fold.train)
        answers |= {
            f"{model}{audit_tables.AS_N2P}": _turned(finished, own, question, model) for model in finished.models("n2p")
        }
        labels = finished.plan.labels | {
            "direction": "p2n",
            "fold": fold.fold,
            "seed": 0,
            "kind": "model",
            "dose": np.nan,
        }
        tables += [
            _score(question, target, model, given).assign(**labels, model=model, budget="", audit="")
            for model, given in answers.items()
            if any(given)
        ]
    return pd.concat(tables, ignore_index=True)[list(SCORE_COLUMNS)]


def _planted(question: ScoredFold, train: np.ndarray) -> dict[str, Answers]:
    """Answers of the planted predictors; None in a context without controls among the training cells `train`."""
    obs = question.cells.obs.iloc[train]
    controls = {c: train[((obs["context"] == c) & obs["is_control"]).to_numpy()] for c in set(question.contexts)}
    means = {c: mean_profile(take(question.cells, np.sort(own))) for c, own in controls.items() if len(own)}
    pairs = list(zip(question.contexts, question.start, strict=True))
    return {
        name: [_mean(start + sign * (start - means[c])) if c in means else None for c, start in pairs]
        for name, sign in ((audit_tables.RIGHT, -1.0), (audit_tables.BLIND, 1.0))
    }


def _turned(finished: FinishedRun, asked: list[DirectedCondition], question: ScoredFold, model: str) -> Answers:
    """Add a model's predicted change of n2p to the input of p2n."""
    inputs = (mean_profile(take(question.cells, one.condition.input("n2p"))) for one in asked)
    means = (finished.mean(one, model) for one in asked)
    return [
        None if mean is None else _mean(start + mean - before)
        for mean, start, before in zip(means, question.start, inputs, strict=True)
    ]


def _mean(profile: np.ndarray) -> Prediction:
    return Prediction(profile[None], unit="mean")


def _score(question: ScoredFold, target: TruthSummary, model: str, given: Answers) -> pd.DataFrame:
    endings = [
        Ending(str(c), str(p), "ok" if found else "unsupported", "" if found else "no n2p prediction")
        for c, p, found in zip(question.contexts, question.perturbations, given, strict=True)
    ]
    output = summarise_predictions(question, target, given.__getitem__)
    planted = model in (audit_tables.RIGHT, audit_tables.BLIND)
    shown = METRICS if planted else [find_metric(name) for name in audit_tables.DIRECTION_METRICS]
    return score_rows(question, evaluate(question, target, output, metrics=shown), endings)
