"""Every model's n2p change scored as a p2n prediction: metrics that do not notice are blind to direction."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.contract import Prediction
from benchmarks.execution.load_run import DirectedCondition, FinishedRun
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.evaluate import evaluate, score_rows
from benchmarks.scoring.metrics.all_metrics import METRICS as BENCHMARK_METRICS
from benchmarks.scoring.metrics.all_metrics import find_metric
from benchmarks.scoring.prediction_summary import summarise_predictions
from benchmarks.scoring.scored_fold import ScoredFold, scored_fold_of
from benchmarks.scoring.table import mean_profile, take
from benchmarks.scoring.training_summary import summarise_training
from benchmarks.scoring.truth_summary import TruthSummary, summarise_truth
from benchmarks.seeds import derive
from benchmarks.tasks.splits import Split
from reports.stats.audits.direction_audit import AS_N2P, BLIND, METRICS, RIGHT
from reports.tables import SCORE_COLUMNS

Answers = list[Prediction | None]
"""A p2n prediction for every condition; None where there is none."""


def wrong_answers(run: FinishedRun) -> pd.DataFrame:
    """Score every model's n2p change, and two planted predictors, as answers to p2n.

    An answer is the mean profile of p2n's input plus a change. A model's change is what it predicted for the same condition
    in n2p. The planted change is the input's difference to the context's training controls, which are neither truth nor
    reference: subtracted it is right, added it is the prediction of a model that ignores the direction.

    Returns
    -------
    DataFrame
        Rows of scores.csv (`SCORE_COLUMNS`): every metric of the planted predictors, those of `reports.stats.audits.direction_audit` of models.

    Raises
    ------
    BenchmarkError
        The run does not have both directions.
    """
    asked = run.conditions("n2p")
    run.conditions("p2n")
    tables = []
    for fold in run.plan.splits:
        cells = run.cells_of(fold)
        seed = derive(run.plan.question.base_seed, "score", fold.fold)
        training = summarise_training(cells, fold.train, seed)
        question = scored_fold_of(cells, fold, "p2n", training, space=run.plan.space, seed=seed)
        target = summarise_truth(question)
        own = [one for one in asked if one.split is fold]
        answers = planted(question, fold.train) | {
            f"{m}{AS_N2P}": _turned(run, own, question, m) for m in run.models("n2p")
        }
        tables += [_scored(run, question, target, name, answer, fold) for name, answer in answers.items()]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)[list(SCORE_COLUMNS)]


def planted(question: ScoredFold, train: np.ndarray) -> dict[str, Answers]:
    """Predictions of the planted predictors; None in a context without training controls.

    Parameters
    ----------
    question
        p2n's.
    train
        Positions of the fold's training cells.
    """
    obs = question.cells.obs.iloc[train]
    controls = {c: train[((obs["context"] == c) & obs["is_control"]).to_numpy()] for c in set(question.contexts)}
    means = {c: mean_profile(take(question.cells, np.sort(own))) for c, own in controls.items() if len(own)}

    def predicted(sign: float) -> Answers:
        pairs = zip(question.contexts, question.start, strict=True)
        return [_mean(start + sign * (start - means[c])) if c in means else None for c, start in pairs]

    return {RIGHT: predicted(-1.0), BLIND: predicted(1.0)}


def _turned(run: FinishedRun, asked: list[DirectedCondition], question: ScoredFold, model: str) -> Answers:
    """Add a model's predicted change of n2p to the input of p2n."""
    found: Answers = []
    for one, start in zip(asked, question.start, strict=True):
        prediction = run.prediction(one, model)
        if prediction is None:
            found.append(None)
        else:
            change = start + prediction.mean() - mean_profile(take(question.cells, one.condition.input("n2p")))
            found.append(_mean(change))
    return found


def _mean(profile: np.ndarray) -> Prediction:
    return Prediction(profile[None], unit="mean")


def _scored(
    run: FinishedRun, question: ScoredFold, target: TruthSummary, model: str, given: Answers, fold: Split
) -> pd.DataFrame:
    """Score one set of answers; no row for a model without any."""
    if not any(given):
        return pd.DataFrame()
    endings = [
        Ending(str(c), str(p), "ok" if found else "unsupported", "" if found else "no n2p prediction")
        for c, p, found in zip(question.contexts, question.perturbations, given, strict=True)
    ]
    output = summarise_predictions(question, target, given.__getitem__)
    shown = BENCHMARK_METRICS if model in (RIGHT, BLIND) else [find_metric(name) for name in METRICS]
    values = evaluate(question, target, output, metrics=shown)
    return score_rows(question, target, values, endings).assign(
        **run.plan.labels,
        direction="p2n",
        fold=fold.fold,
        seed=0,
        model=model,
        kind="model",
        dose=np.nan,
        budget="",
        audit="",
    )
