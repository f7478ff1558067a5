"""How much of a score is leakage: the same models on the same conditions, held out and trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from reports.stats.bootstrap import mean_intervals
from reports.stats.condition_values import condition_values
from reports.stats.score_matrix import ScoreMatrix, score_matrices
from reports.tables import Tables

METRICS = ("pearson_delta", "r2_pearson", "mse")
"""What the audits show."""
TASK = ("suite", "dataset", "source", "direction")
COLUMNS = (
    *TASK,
    "metric",
    "model",
    "kind",
    "honest_protocol",
    "honest",
    "leaky",
    "gain",
    "low",
    "high",
    "share",
    "n_conditions",
)
FLOOR = "no_change"


def compare_protocols(honest: Tables, leaky: Tables, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare scores of one suite under its own protocol and under one that leaks.

    Only conditions that both test are compared, each with itself.

    Parameters
    ----------
    honest, leaky
        Tables of the two runs.
    n_boot, seed
        Draws and seed of the paired hierarchical bootstrap.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per direction, metric of `METRICS` and model or reference with a value in both. `honest`
        and `leaky` are means in the metric's unit; `gain` is how much better the leaky score is, with its 95 % interval;
        `share` is the share of the leaky score above `no_change` that is gone under the honest protocol: 1 − (honest −
        no_change) / (leaky − no_change), above 1 where honestly nothing is left. It is NaN where the leaky score is not
        above no_change's.
    """
    found = {_key(matrix): matrix for matrix in _panels(leaky)}
    rows: list[dict[str, Any]] = []
    for matrix in _panels(honest):
        other = found.get(_key(matrix))
        if other is not None:
            rows += _rows(matrix, other, n_boot, seed)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _panels(tables: Tables) -> Iterator[ScoreMatrix]:
    metrics = tables.metrics[tables.metrics["metric"].isin(METRICS)]
    return score_matrices(condition_values(tables.scores[tables.scores["metric"].isin(METRICS)], metrics), metrics)


def _key(matrix: ScoreMatrix) -> tuple[str, ...]:
    """A matrix's task without its protocol, and its metric."""
    suite, dataset, source, _, direction = matrix.task
    return suite, dataset, source, direction, matrix.metric


def _rows(honest: ScoreMatrix, leaky: ScoreMatrix, n_boot: int, seed: int) -> list[dict[str, Any]]:
    places = {name: number for number, name in enumerate(zip(leaky.contexts, leaky.conditions, strict=True))}
    both = [
        (number, places[name])
        for number, name in enumerate(zip(honest.contexts, honest.conditions, strict=True))
        if name in places
    ]
    if not both:
        return []
    one, other = honest.rows(np.array([a for a, _ in both])), leaky.rows(np.array([b for _, b in both]))
    labels = dict(zip((*TASK, "metric"), _key(honest), strict=True)) | {"honest_protocol": honest.task[3]}
    rows = []
    for model in one.models:
        pair = _pair(one, other, model)
        if pair is None:
            continue
        values, contexts = pair
        gain = one.sign * (values[:, 1] - values[:, 0])
        means, low, high = mean_intervals(np.column_stack([values, gain]), contexts, n_boot=n_boot, seed=seed)
        kind = "model" if one.is_model[one.models.index(model)] else "reference"
        numbers = dict(zip(("honest", "leaky", "gain"), means.tolist(), strict=True))
        rows.append(
            labels
            | numbers
            | {"model": model, "kind": kind, "low": low[2], "high": high[2], "n_conditions": len(values)}
        )
    return _with_shares(rows, one.sign)


def _pair(one: ScoreMatrix, other: ScoreMatrix, model: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Values [condition, honest and leaky] of a model where it has both, and their contexts; None where it has none."""
    first, second = one.column(model), other.column(model)
    if first is None or second is None:
        return None
    values = np.column_stack([one.value[:, first], other.value[:, second]])
    keep = one.kept[:, first] & other.kept[:, second] & np.isfinite(values).all(axis=1)
    own = bool(one.any_own[keep, first].any() and other.any_own[keep, second].any())
    return (values[keep], one.contexts[keep]) if keep.any() and own else None


def _with_shares(rows: list[dict[str, Any]], sign: float) -> list[dict[str, Any]]:
    """Add the share of what leakage gives, against no_change; `sign` is 1 where higher is better, −1 where lower is."""
    floor = next((row for row in rows if row["model"] == FLOOR), None)
    for row in rows:
        row["share"] = np.nan
        if floor is not None and row is not floor:
            honest, leaky = (sign * (row[side] - floor[side]) for side in ("honest", "leaky"))
            row["share"] = 1 - honest / leaky if leaky > 0 else np.nan
    return rows
