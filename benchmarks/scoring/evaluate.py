"""Every metric of a fold's predictions, with the status of each value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.scoring.endings import Ending
from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.metrics.metric import Metric
from benchmarks.scoring.metrics.retrieval import MIN_CONDITIONS
from benchmarks.scoring.prediction_summary import PredictionSummary
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.truth_summary import TruthSummary

WHY = {
    "too_few_conditions": f"fewer than {MIN_CONDITIONS} test conditions in this context and fold",
    "too_few_genes": "too few genes of the truth are significant at FDR < 0.05",
    "needs_cells": "predicts draws or a mean, not cells",
    "unsupported": "needs training cells, and none were given",
}
"""Reason of a status that comes from scoring, not from the model."""
NEEDS_CELLS = {"p_hat", "significant_hat", "lfc_hat", "wasserstein", "e_distance", "mmd_rbf"}
"""Quantities that only predicted cells have."""


@dataclass(frozen=True)
class Scores:
    """One metric's value and status for every condition; the value is NaN where the status is not ok."""

    values: np.ndarray
    status: np.ndarray


Values = Mapping[str, Scores]
"""Metric → its scores."""


def evaluate(
    fold: ScoredFold,
    truth: TruthSummary,
    predicted: PredictionSummary,
    *,
    start: np.ndarray | None = None,
    metrics: Sequence[Metric] = METRICS,
) -> Values:
    """Compute metrics; retrieval is left out in p2n.

    Parameters
    ----------
    start
        Profiles [condition, gene] that the predicted change is measured from; default: the input's.
    """
    known = _quantities(fold, truth, predicted, fold.start if start is None else start)
    return {
        metric.name: _score(metric, fold, known, predicted.has_cells)
        for metric in metrics
        if metric.family != "retrieval" or fold.direction == "n2p"
    }


def score_rows(fold: ScoredFold, truth: TruthSummary, values: Values, endings: Sequence[Ending]) -> pd.DataFrame:
    """Lay values out as tidy rows; a condition that did not end ok has its status, its reason and no value.

    Returns
    -------
    pd.DataFrame
        Columns context, perturbation, dose, metric, value, status, reason, n_truth_cells: one row per condition and metric.
    """
    ended = np.array([e.status for e in endings])
    reasons = np.array([e.reason for e in endings], dtype=object)
    ok = ended == "ok"
    tables = []
    for name, scores in values.items():
        status = np.where(ok, scores.status, ended)
        columns = {
            "metric": name,
            "value": np.where(status == "ok", scores.values, np.nan),
            "status": status,
            "reason": [WHY.get(s, "") if fine else why for s, fine, why in zip(status, ok, reasons, strict=True)],
            "n_truth_cells": truth.n_cells,
        }
        tables.append(pd.DataFrame({**fold.labels(), **columns}))
    return pd.concat(tables, ignore_index=True)


def _quantities(
    fold: ScoredFold, truth: TruthSummary, predicted: PredictionSummary, start: np.ndarray
) -> Mapping[str, np.ndarray | None]:
    """Name everything a metric may need; None for what needs training cells where there are none."""
    delta, delta_hat = truth.profiles - fold.reference, predicted.profiles - start
    effect = fold.mean_effect()
    projected = fold.training is not None
    return {
        "truth": truth.profiles,
        "predicted": predicted.profiles,
        "start": fold.start,
        "reference": fold.reference,
        "delta": delta,
        "delta_hat": delta_hat,
        "delta_shared": truth.profiles - fold.shared,
        "delta_hat_shared": predicted.profiles - fold.shared,
        "delta_centred": None if effect is None else delta - effect,
        "delta_hat_centred": None if effect is None else delta_hat - effect,
        "own_gene": fold.own_gene,
        "significant": truth.significant,
        "lfc": truth.lfc,
        **{f"top{k}": mask for k, mask in truth.tops.items()},
        "p_hat": predicted.p,
        "significant_hat": predicted.significant,
        "lfc_hat": predicted.lfc,
        "margin_bound": truth.margin_bound,
        "wasserstein": predicted.distances["wasserstein"],
        "e_distance": predicted.distances["e_distance"] if projected else None,
        "mmd_rbf": predicted.distances["mmd_rbf"] if projected else None,
    }


def _score(metric: Metric, fold: ScoredFold, known: Mapping[str, np.ndarray | None], has_cells: np.ndarray) -> Scores:
    """Score all conditions at once, or context by context for retrieval: its candidates are the context's conditions."""
    values = np.full(len(fold), np.nan)
    given = [quantity for name in metric.needs if (quantity := known[name]) is not None]
    if len(given) < len(metric.needs):
        return Scores(values, np.full(len(fold), "unsupported"))
    if metric.family == "retrieval":
        contexts = [np.flatnonzero(fold.contexts == context) for context in np.unique(fold.contexts)]
        groups, otherwise = [group for group in contexts if len(group) >= MIN_CONDITIONS], "too_few_conditions"
    else:
        able = has_cells if NEEDS_CELLS.intersection(metric.needs) else np.ones(len(fold), dtype=bool)
        groups, otherwise = [np.flatnonzero(able)] if able.any() else [], "needs_cells"
    status = np.full(len(fold), otherwise, dtype=object)
    for group in groups:
        values[group] = metric.function(*(quantity[group] for quantity in given))
        status[group] = np.where(np.isnan(values[group]), metric.undefined or "ok", "ok")
    return Scores(values, status.astype(str))
