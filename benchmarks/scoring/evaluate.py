"""Every metric of a fold's predictions, with the status of each value, and the tables made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.scoring.endings import Ending
from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.metrics.metric import Metric
from benchmarks.scoring.metrics.retrieval import MIN_CONDITIONS
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.summaries import PredictionSummary, TruthSummary

WHY = {
    "too_few_conditions": f"fewer than {MIN_CONDITIONS} test conditions in this context and fold",
    "too_few_genes": "too few genes of the truth are significant at FDR < 0.05",
    "needs_cells": "predicts draws or a mean, not cells",
    "unsupported": "needs training cells that were not given",
}
"""Reason of a status that comes from scoring, not from the model."""


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
    as_truth: bool = False,
    metrics: Sequence[Metric] = METRICS,
) -> Values:
    """Compute metrics; retrieval is left out in p2n.

    The predicted change is measured from the profiles `start` [condition, gene]; default: the input's. With `as_truth` it is
    measured from the very cells that the true change is measured from, as only the oracle may be.
    """
    if start is None:
        start = fold.reference if as_truth else fold.start
    found = predicted.quantities
    known: dict[str, np.ndarray] = {
        **found,
        "truth": truth.profiles,
        "start": fold.start,
        "reference": fold.reference,
        "delta": truth.profiles - fold.reference,
        "delta_hat": found["predicted"] - start,
        "delta_shared": truth.profiles - fold.shared,
        "delta_hat_shared": found["predicted"] - fold.shared,
        "own_gene": fold.own_gene,
        "other_genes": fold.other_genes,
        "significant": truth.significant,
        "lfc": truth.lfc,
        **{f"top{k}": mask for k, mask in truth.tops.items()},
        "margin_bound": truth.margin_bound,
    }
    # two estimates, of disjoint cells: the noise of one and the same would be on both sides
    effect = fold.mean_effect_for_truth(truth.profiles)
    effect_hat = effect if as_truth else fold.mean_effect("second")
    if effect is None or effect_hat is None:
        known = {name: quantity for name, quantity in known.items() if name not in ("e_distance", "mmd_rbf")}
    else:
        known |= {"delta_centred": known["delta"] - effect, "delta_hat_centred": known["delta_hat"] - effect_hat}
    needs_cells = found.keys() - {"predicted"}
    return {
        metric.name: _score(metric, fold, known, predicted.has_cells | needs_cells.isdisjoint(metric.needs))
        for metric in metrics
        if metric.family != "retrieval" or fold.direction == "n2p"
    }


def _score(metric: Metric, fold: ScoredFold, known: Mapping[str, np.ndarray], able: np.ndarray) -> Scores:
    """Score the conditions that can be, or context by context for retrieval: its candidates are the context's conditions."""
    values = np.full(len(fold), np.nan)
    if not known.keys() >= set(metric.needs):
        return Scores(values, np.full(len(fold), "unsupported"))
    if metric.family == "retrieval":
        contexts = [np.flatnonzero(fold.contexts == context) for context in np.unique(fold.contexts)]
        groups, otherwise = [group for group in contexts if len(group) >= MIN_CONDITIONS], "too_few_conditions"
    else:
        groups, otherwise = [np.flatnonzero(able)] if able.any() else [], "needs_cells"
    status = np.full(len(fold), otherwise, dtype=object)
    for group in groups:
        values[group] = metric.function(*(known[name][group] for name in metric.needs))
        status[group] = np.where(np.isnan(values[group]), metric.undefined or "ok", "ok")
    return Scores(values, status.astype(str))


def score_rows(fold: ScoredFold, truth: TruthSummary, values: Values, endings: Sequence[Ending]) -> pd.DataFrame:
    """Lay values out as tidy rows: context, perturbation, dose, metric, value, status, reason, n_truth_cells.

    A condition that did not end ok has its status, its reason and no value.
    """
    ended = np.array([e.status for e in endings])
    status = np.where(ended == "ok", [scores.status for scores in values.values()], ended)
    columns = {
        **fold.labels(),
        "n_truth_cells": truth.n_cells,
        "ended": ended,
        "why": np.array([e.reason for e in endings], dtype=object),
    }
    table = pd.DataFrame({name: np.tile(column, len(values)) for name, column in columns.items()}).assign(
        metric=np.repeat(list(values), len(fold)),
        value=np.where(status == "ok", [scores.values for scores in values.values()], np.nan).ravel(),
        status=status.ravel(),
    )
    table["reason"] = table["why"].where(table["ended"] != "ok", table["status"].map(WHY).fillna(""))
    return table[[*fold.labels(), "metric", "value", "status", "reason", "n_truth_cells"]]


def condition_facts(fold: ScoredFold, truth: TruthSummary) -> pd.DataFrame:
    """List the conditions, as conditions.csv: cells on every side, genes changed, the kernel's bandwidth."""
    facts = {
        "start_dose": np.array([c.start_dose for c in fold.conditions], dtype=np.float64),
        "n_truth_cells": truth.n_cells,
        "n_input_cells": [len(c.input(fold.direction)) for c in fold.conditions],
        "n_reference_cells": [len(c.reference(fold.direction)) for c in fold.conditions],
        "n_significant_genes": truth.significant.sum(axis=1),
        "mmd_bandwidth": truth.bandwidths,
    }
    return pd.DataFrame({**fold.labels(), **facts})


def metric_table() -> pd.DataFrame:
    """List all metrics, as metrics.csv."""
    columns = ("family", "best", "higher_is_better", "scored", "undefined", "summary", "source")
    return pd.DataFrame([{"metric": m.name} | {column: getattr(m, column) for column in columns} for m in METRICS])
