"""Scores of several seeds as one table: means, and gains over the mean effect, with intervals over conditions and seeds."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from reports.stats.bootstrap import context_sizes, draw_weights, interval_of, mean_over_contexts
from reports.stats.condition_values import ScoreMatrix, condition_values, score_matrices
from reports.stats.metric_quality import SPLIT_HALF
from reports.tables import GROUP

METRICS = ("pearson_delta", "r2_pearson", "mse")
"""What the study reports."""
BASELINE = "train_mean"
KINDS = ("cycseq_plus", "cycseq", "ablation", "other")
"""Kinds of models of the study, in the order of its tables and legends."""
COLUMNS = (
    *(*GROUP, "metric", "model", "mean", "low", "high", "gain", "gain_low", "gain_high"),
    *("n_conditions", "n_seeds", "status", "reason"),
)


def summarise_seeds(scores: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Aggregate the scores of a task whose models were run with one or several seeds; tables as in `tables.Tables`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, a row per task, metric of `METRICS` and model, and one for the split half. `mean` is over
        contexts of means over conditions of means over seeds; `gain` is the paired difference to train_mean, positive
        where the model is better. Intervals are of a bootstrap that draws contexts, conditions within them, and seeds.
        A model without values has NaN, its status and its reason.
    """
    scores = scores[scores["metric"].isin(METRICS)]
    seeds_of = {str(name): set(own) for name, own in scores.groupby("model", observed=True)["seed"]}
    fixed = [name for name, own in seeds_of.items() if len(own) == 1]
    found: dict[tuple[object, ...], dict[int, ScoreMatrix]] = {}
    for number in sorted(scores["seed"].unique()):
        # each seed is settled on its own; a model of one seed takes part in every other with its own values
        part = scores[(scores["seed"] == number) | scores["model"].isin(fixed)]
        for matrix in score_matrices(condition_values(part, metrics), metrics):
            found.setdefault((*matrix.task, matrix.metric), {})[int(number)] = matrix
    rows = [row for seeds in found.values() for row in _rows(seeds, seeds_of, n_boot, seed)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    seeds: Mapping[int, ScoreMatrix], seeds_of: Mapping[str, set[int]], n_boot: int, seed: int
) -> list[dict[str, object]]:
    """Return a row per model of one metric of one task, and one for the split half."""
    tables = {number: matrix.table() for number, matrix in seeds.items()}
    matrix, contexts = seeds[min(seeds)], tables[min(seeds)][1]
    # model → values [condition, seed]; a model without values in one of its seeds has none
    values = {
        name: np.stack([tables[number][0][:, tables[number][2].index(name)] for number in sorted(own)], axis=1)
        for name, own in seeds_of.items()
        if all(number in tables and name in tables[number][2] for number in own)
    }
    rows: list[dict[str, object]] = []
    for place, model in enumerate(matrix.models):
        labels = matrix.labels | {"model": model}
        if model in values:
            own = values[model]
            labels |= {"n_conditions": len(own), "n_seeds": own.shape[1], "status": "ok", "reason": ""}
            row = _mean_interval(own, contexts, ("mean", "low", "high"), n_boot, seed)
            if BASELINE in values:
                gain = matrix.sign * (own - values[BASELINE].mean(axis=1, keepdims=True))
                row |= _mean_interval(gain, contexts, ("gain", "gain_low", "gain_high"), n_boot, seed)
            rows.append(labels | row)
        elif matrix.is_model[place]:
            bad = np.flatnonzero(matrix.status[:, place] != "ok")
            status, reason = (
                (matrix.status[bad[0], place], matrix.reason[bad[0], place]) if len(bad) else ("missing", "")
            )
            rows.append(labels | {"n_conditions": 0, "status": status, "reason": reason})
    half = matrix.column(SPLIT_HALF)
    if half is not None:
        keep = np.isfinite(matrix.value[:, half])
        sizes = context_sizes(matrix.contexts[keep])
        mean = mean_over_contexts(matrix.value[keep, half][:, None], sizes)[0] if keep.any() else np.nan
        rows.append(
            matrix.labels | {"model": SPLIT_HALF, "mean": mean, "n_conditions": int(keep.sum()), "status": "ok"}
        )
    return rows


def _mean_interval(
    values: np.ndarray, contexts: np.ndarray, names: tuple[str, ...], n_boot: int, seed: int
) -> dict[str, object]:
    """Mean of values [condition, seed] and its 95 % interval, contexts, conditions and seeds resampled; NaN for one condition."""
    (n_conditions, n_seeds), sizes = values.shape, context_sizes(contexts)
    mean = mean_over_contexts(values.mean(axis=1, keepdims=True), sizes)[0]
    if n_conditions == 1:
        return dict(zip(names, (mean, np.nan, np.nan), strict=True))
    rng = np.random.default_rng([seed, n_seeds])
    of_seed = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_boot) / n_seeds
    draws = ((draw_weights(sizes, n_boot, seed) @ values) * of_seed).sum(axis=1)
    low, high = interval_of(draws[:, None])
    return dict(zip(names, (mean, low[0], high[0]), strict=True))


def short_name(model: str, direction: str) -> str:
    """Return a model's name without the direction."""
    return model.removesuffix(f"_{direction}")


def kind_of(name: str) -> str:
    """Return which of `KINDS` a model of that short name is."""
    if name in KINDS:
        return name
    return "ablation" if name.startswith("cycseq_") else "other"
