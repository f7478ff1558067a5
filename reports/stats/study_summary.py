"""Scores of several seeds as one table: means, and gains over the mean effect, with intervals over conditions and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.stats.bootstrap import context_sizes, draw_weights, interval_of, mean_over_contexts
from reports.stats.condition_values import condition_values
from reports.stats.score_matrix import ScoreMatrix, score_matrices
from reports.tables import GROUP

METRICS = ("pearson_delta", "r2_pearson", "mse")
"""What the study reports."""
BASELINE = "train_mean"
CEILING = "ceiling"
KINDS = ("cycseq_plus", "cycseq", "ablation", "other")
"""Kinds of models of the study, in the order of its tables and legends."""
COLUMNS = (
    *GROUP,
    "metric",
    "model",
    "mean",
    "low",
    "high",
    "gain",
    "gain_low",
    "gain_high",
    "n_conditions",
    "n_seeds",
    "status",
    "reason",
)


@dataclass(frozen=True)
class _Seeds:
    """One metric of one task in all seeds."""

    matrix: ScoreMatrix
    """Of the first seed."""
    values: dict[str, np.ndarray]
    """Ranked model → values [condition, seed]."""
    sizes: tuple[int, ...]
    """Conditions of each context."""


def summarise_seeds(scores: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Aggregate the scores of a task whose models were run with one or several seeds.

    Parameters
    ----------
    scores
        One row per condition × metric × model × seed (`tables.SCORE_COLUMNS`).
    metrics
        One row per metric (`tables.METRIC_COLUMNS`).
    n_boot, seed
        Draws and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, a row per task, metric of `METRICS` and model, and one for the ceiling. `mean` is over
        contexts of means over conditions of means over seeds; `gain` is the paired difference to train_mean, positive
        where the model is better. Intervals are of a bootstrap that draws contexts, conditions within them, and seeds.
        A model without values has NaN, its status and its reason.
    """
    wanted = metrics[metrics["metric"].isin(METRICS)]
    scores = scores[scores["metric"].isin(METRICS)]
    rows: list[dict[str, object]] = []
    for task in _tasks(scores, wanted):
        rows += _rows(task, n_boot, seed)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _tasks(scores: pd.DataFrame, metrics: pd.DataFrame) -> list[_Seeds]:
    """Settle each seed on its own; a model of one seed takes part in every other with its own values."""
    seeds_of = {str(name): set(own) for name, own in scores.groupby("model", observed=True)["seed"]}
    fixed = [name for name, own in seeds_of.items() if len(own) == 1]
    found: dict[tuple[object, ...], dict[int, ScoreMatrix]] = {}
    for number in sorted(scores["seed"].unique()):
        part = scores[(scores["seed"] == number) | scores["model"].isin(fixed)]
        for matrix in score_matrices(condition_values(part, metrics), metrics):
            found.setdefault((*matrix.task, matrix.metric), {})[int(number)] = matrix
    return [_join(own, seeds_of) for own in found.values()]


def _join(seeds: dict[int, ScoreMatrix], seeds_of: dict[str, set[int]]) -> _Seeds:
    """Put the seeds of each model side by side; a model without values in one of its seeds is left out."""
    tables = {number: matrix.table() for number, matrix in seeds.items()}
    first = min(tables)
    names = {number: models for number, (_, _, models) in tables.items()}
    values = {
        name: np.stack([tables[number][0][:, names[number].index(name)] for number in sorted(own)], axis=1)
        for name, own in seeds_of.items()
        if all(name in names.get(number, ()) for number in own)
    }
    return _Seeds(seeds[first], values, context_sizes(tables[first][1]))


def _rows(task: _Seeds, n_boot: int, seed: int) -> list[dict[str, object]]:
    matrix = task.matrix
    rows: list[dict[str, object]] = []
    for place, model in enumerate(matrix.models):
        labels = matrix.labels | {"model": model}
        if model in task.values:
            rows.append(labels | _summary(task, model, n_boot, seed))
        elif matrix.is_model[place]:
            bad = np.flatnonzero(matrix.status[:, place] != "ok")
            first = (matrix.status[bad[0], place], matrix.reason[bad[0], place]) if len(bad) else ("missing", "")
            rows.append(labels | {"n_conditions": 0, "status": first[0], "reason": first[1]})
    ceiling = matrix.column(CEILING)
    if ceiling is not None:
        keep = np.isfinite(matrix.value[:, ceiling])
        sizes = context_sizes(matrix.contexts[keep])
        mean = mean_over_contexts(matrix.value[keep, ceiling][:, None], sizes)[0] if keep.any() else np.nan
        rows.append(matrix.labels | {"model": CEILING, "mean": mean, "n_conditions": int(keep.sum()), "status": "ok"})
    return rows


def _summary(task: _Seeds, model: str, n_boot: int, seed: int) -> dict[str, object]:
    """Mean and gain of one model, with intervals; those of a single condition are NaN."""
    values = task.values[model]
    found: dict[str, object] = {"n_conditions": len(values), "n_seeds": values.shape[1], "status": "ok", "reason": ""}
    columns = {"": values}
    if BASELINE in task.values:
        columns["gain"] = task.matrix.sign * (values - task.values[BASELINE].mean(axis=1, keepdims=True))
    for name, column in columns.items():
        low, high = _interval(column, task.sizes, n_boot, seed)
        mean = float(mean_over_contexts(column.mean(axis=1, keepdims=True), task.sizes)[0])
        prefix = f"{name}_" if name else ""
        found |= {name or "mean": mean, f"{prefix}low": low, f"{prefix}high": high}
    return found


def _interval(values: np.ndarray, sizes: tuple[int, ...], n_boot: int, seed: int) -> tuple[float, float]:
    """95 % interval of the mean of values [condition, seed], contexts, conditions and seeds drawn anew."""
    n_conditions, n_seeds = values.shape
    if n_conditions == 1:
        return float("nan"), float("nan")
    rng = np.random.default_rng([seed, n_seeds])
    of_seed = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_boot) / n_seeds
    draws = ((draw_weights(sizes, n_boot, seed) @ values) * of_seed).sum(axis=1)
    low, high = interval_of(draws[:, None])
    return float(low[0]), float(high[0])


def short_name(model: str, direction: str) -> str:
    """Return a model's name without the direction."""
    return model.removesuffix(f"_{direction}")


def kind_of(name: str) -> str:
    """Return which of `KINDS` a model of that short name is."""
    if name in KINDS:
        return name
    return "ablation" if name.startswith("cycseq_") else "other"
