"""Every metric of a fold's predictions, with the status of each value, and the tables made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.scoring.endings import Ending
from benchmarks.scoring.metrics.all_metrics import METRICS, metric_rows
from benchmarks.scoring.metrics.metric import Metric
from benchmarks.scoring.metrics.retrieval import MIN_CONDITIONS, Indexed, Rows
from benchmarks.scoring.scored_fold import ScoredFold, Start
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
    start: Start | Sequence[np.ndarray] = "start",
    as_truth: bool = False,
    metrics: Sequence[Metric] = METRICS,
) -> Values:
    """Compute metrics; retrieval is left out in p2n.

    The predicted change is measured from the input's profiles, from others of the fold, or from those given, one [gene]
    a condition. With `as_truth` it is measured from the very cells that the true change is measured from, as only the oracle may be.
    """
    found = predicted.quantities
    start = "reference" if as_truth else start
    known: dict[str, np.ndarray] = {
        **found,
        "truth": truth.profiles,
        "start": fold.start,
        "reference": fold.reference,
        "delta": truth.profiles - fold.reference,
        "delta_hat": found["predicted"] - (getattr(fold, start) if isinstance(start, str) else np.stack(start)),
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
    single = {
        metric.name: _score(metric, known, predicted.has_cells | needs_cells.isdisjoint(metric.needs))
        for metric in metrics
        if metric.family != "retrieval"
    }
    return in_order({**single, **retrieve(fold, truth.profiles, found["predicted"], start=start, metrics=metrics)})


def _score(metric: Metric, known: Mapping[str, np.ndarray], able: np.ndarray) -> Scores:
    """Score the conditions that can be, each by itself."""
    values, status = np.full(len(able), np.nan), np.full(len(able), "needs_cells", dtype=object)
    if not known.keys() >= set(metric.needs):
        return Scores(values, np.full(len(able), "unsupported"))
    if able.any():
        values[able] = metric.function(*(known[name][able] for name in metric.needs))
        status[able] = np.where(np.isnan(values[able]), metric.undefined or "ok", "ok")
    return Scores(values, status.astype(str))


def retrieve(
    fold: ScoredFold,
    truth: Indexed,
    predicted: Indexed,
    *,
    start: Start | Sequence[np.ndarray] = "start",
    metrics: Sequence[Metric] = METRICS,
) -> Values:
    """Compute retrieval from mean profiles, one row [gene] a condition, which may be on disk; nothing in p2n.

    The candidates are a context's conditions, so all of the fold's have to be there. See `evaluate` for `start`.
    """
    asked = [metric for metric in metrics if metric.family == "retrieval" and fold.direction == "n2p"]
    values = {metric.name: np.full(len(fold), np.nan) for metric in asked}
    status = {metric.name: np.full(len(fold), "too_few_conditions", dtype=object) for metric in asked}
    for context in np.unique(fold.contexts) if asked else ():
        group = np.flatnonzero(fold.contexts == context)
        if len(group) < MIN_CONDITIONS:
            continue
        part = fold.part(group)
        reference = part.means("reference")
        inputs = part.means(start) if isinstance(start, str) else [start[int(number)] for number in group]
        known = {
            "truth": Rows(truth, group),
            "predicted": Rows(predicted, group),
            "delta": Rows(truth, group, reference),
            "delta_hat": Rows(predicted, group, inputs),
            "own_gene": part.own_gene,
        }
        for metric in asked:
            found = metric.function(*(known[name] for name in metric.needs))
            values[metric.name][group] = found
            status[metric.name][group] = np.where(np.isnan(found), metric.undefined or "ok", "ok")
    return {name: Scores(values[name], status[name].astype(str)) for name in values}


def in_order(values: Values) -> Values:
    """Order metrics as in every report."""
    return {metric.name: values[metric.name] for metric in METRICS if metric.name in values}


def score_rows(fold: ScoredFold, values: Values, endings: Sequence[Ending]) -> pd.DataFrame:
    """Lay values out as tidy rows: context, perturbation, dose, metric, value, status, reason, n_truth_cells.

    A condition that did not end ok has its status, its reason and no value.
    """
    ended = np.array([e.status for e in endings])
    status = np.where(ended == "ok", [scores.status for scores in values.values()], ended)
    columns = {
        **fold.labels(),
        "n_truth_cells": fold.n_true,
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


def condition_facts(fold: ScoredFold, n_significant_genes: np.ndarray, bandwidths: np.ndarray) -> pd.DataFrame:
    """List the conditions, as conditions.csv: cells on every side, genes changed, the kernel's bandwidth."""
    facts = {
        "start_dose": np.array([c.start_dose for c in fold.conditions], dtype=np.float64),
        "n_truth_cells": fold.n_true,
        "n_input_cells": [len(c.input(fold.direction)) for c in fold.conditions],
        "n_reference_cells": [len(c.reference(fold.direction)) for c in fold.conditions],
        "n_significant_genes": n_significant_genes,
        "mmd_bandwidth": bandwidths,
    }
    return pd.DataFrame({**fold.labels(), **facts})


def metric_table() -> pd.DataFrame:
    """List all metrics, as metrics.csv."""
    return pd.DataFrame(metric_rows())
