"""Every metric of a comparison, with the status of each value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.scoring.comparison import Output, Target
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.metrics import METRICS, Metric
from benchmarks.scoring.scored_fold import ScoredFold

MIN_CONDITIONS = 3
"""Fewer candidates than this in a context and fold, and retrieval is not scored."""
WHY = {
    "too_few_conditions": f"fewer than {MIN_CONDITIONS} test conditions in this context and fold",
    "too_few_genes": "too few genes of the truth are significant at FDR < 0.05",
    "needs_cells": "predicts draws or a mean, not cells",
    "unsupported": "needs training cells, and none were given",
}
"""Reason of a status that scoring, not the model, gives."""
CELLS = ("p_hat", "significant_hat", "lfc_hat", "wasserstein", "e_distance", "mmd_rbf")
"""Quantities that only single cells have."""


@dataclass(frozen=True)
class Scores:
    """One metric's value and status for every condition; the value is NaN where the status is not ok."""

    values: np.ndarray
    status: np.ndarray


Values = Mapping[str, Scores]


def evaluate(
    question: ScoredFold,
    target: Target,
    output: Output,
    *,
    start: np.ndarray | None = None,
    metrics: Sequence[Metric] = METRICS,
) -> Values:
    """Compute every metric that the direction has.

    Parameters
    ----------
    question, target, output
        What was asked, what is true, what was predicted.
    start
        Profiles [condition, gene] that the predicted change is measured from; default: the input's.
    metrics
        Which metrics.
    """
    known = quantities(question, target, output, question.start if start is None else start)
    found = {}
    for metric in metrics:
        if metric.family != "retrieval":
            found[metric.name] = _by_condition(metric, known, output.has_cells)
        elif question.direction != "p2n":
            found[metric.name] = _by_context(metric, known, question.contexts)
    return found


def quantities(
    question: ScoredFold, target: Target, output: Output, start: np.ndarray
) -> Mapping[str, np.ndarray | None]:
    """Name everything a metric may need; None for what needs training cells that are not known."""
    truth, predicted = target.profiles, output.profiles
    delta, delta_hat = truth - question.reference, predicted - start
    mean_effect = question.mean_effect()
    projected = question.training is not None
    return {
        "truth": truth,
        "predicted": predicted,
        "start": question.start,
        "reference": question.reference,
        "delta": delta,
        "delta_hat": delta_hat,
        "delta_shared": truth - question.shared,
        "delta_hat_shared": predicted - question.shared,
        "delta_centred": None if mean_effect is None else delta - mean_effect,
        "delta_hat_centred": None if mean_effect is None else delta_hat - mean_effect,
        "own_gene": question.own_gene,
        "significant": target.significant,
        "lfc": target.lfc,
        **{f"top{k}": mask for k, mask in target.tops.items()},
        "p_hat": output.p,
        "significant_hat": output.significant,
        "lfc_hat": output.lfc,
        "margin_bound": target.margin_bound,
        "wasserstein": output.distances["wasserstein"],
        "e_distance": output.distances["e_distance"] if projected else None,
        "mmd_rbf": output.distances["mmd_rbf"] if projected else None,
    }


def score_rows(question: ScoredFold, target: Target, values: Values, endings: Sequence[Ending]) -> pd.DataFrame:
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
        why = [WHY.get(s, "") if fine else reason for s, fine, reason in zip(status, ok, reasons, strict=True)]
        tables.append(
            pd.DataFrame(
                {
                    **question.labels(),
                    "metric": name,
                    "value": np.where(status == "ok", scores.values, np.nan),
                    "status": status,
                    "reason": why,
                    "n_truth_cells": target.n_cells,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _by_condition(metric: Metric, known: Mapping[str, np.ndarray | None], has_cells: np.ndarray) -> Scores:
    values = np.full(len(has_cells), np.nan)
    given = [known[name] for name in metric.needs]
    if any(quantity is None for quantity in given):
        return Scores(values, np.full(len(values), "unsupported"))
    able = has_cells if set(metric.needs) & set(CELLS) else np.ones(len(values), dtype=bool)
    if able.any():
        values[able] = metric.fn(*(quantity[able] for quantity in given if quantity is not None))
    return Scores(values, np.where(able, _status(metric, values), "needs_cells"))


def _by_context(metric: Metric, known: Mapping[str, np.ndarray | None], contexts: np.ndarray) -> Scores:
    """Score retrieval context by context; the candidates are all test conditions of the context."""
    values = np.full(len(contexts), np.nan)
    status = np.full(len(contexts), "too_few_conditions", dtype=object)
    for context in np.unique(contexts):
        here = np.flatnonzero(contexts == context)
        if len(here) >= MIN_CONDITIONS:
            values[here] = metric.fn(*(q[here] for name in metric.needs if (q := known[name]) is not None))
            status[here] = _status(metric, values[here])
    return Scores(values, status.astype(str))


def _status(metric: Metric, values: np.ndarray) -> np.ndarray:
    """Name what a value that is no number means for its metric."""
    return np.where(np.isnan(values), metric.undefined or "ok", "ok")
