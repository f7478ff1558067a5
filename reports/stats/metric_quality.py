"""How good a metric is: does it see the ceiling above the baseline, and can it order predictors of known quality?"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from reports.stats.bootstrap import context_sizes, draw_means, interval_of
from reports.stats.calibration import CEILING, Calibration, calibrate
from reports.stats.condition_values import name_conditions
from reports.stats.score_matrix import ScoreMatrix, score_matrices
from reports.tables import GROUP

MIXTURES = ("noise", "mean_effect", "input")
"""What planted predictors are mixed with, as in planted.csv."""
TAUS = tuple(f"tau_{mixture}{end}" for mixture in MIXTURES for end in ("", "_low", "_high"))
SHARED = ("shared", "other_controls", "other_controls_shared", "baseline_shared", "ceiling_shared")
COLUMNS = (
    *GROUP,
    "metric",
    "baseline",
    "baseline_mean",
    "ceiling_mean",
    "gain",
    "gain_low",
    "gain_high",
    "ceiling_full_depth",
    "share",
    "informative",
    *TAUS,
    "orders",
    *SHARED,
)
_CORRELATION = re.compile(r"(pearson|spearman|cosine)_delta|de_lfc_spearman$")
_TIE = 1e-9
"""Two means nearer than this, relative to the largest of them, are tied: their sums differ by rounding only."""


def rate_metrics(
    settled: pd.DataFrame,
    metrics: pd.DataFrame,
    board: pd.DataFrame,
    planted: pd.DataFrame,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rate every metric that has a best value, in every task.

    Parameters
    ----------
    settled
        What `condition_values` returned.
    metrics
        One row per metric (`tables.METRIC_COLUMNS`).
    board
        What `aggregate.leaderboard` returned for the same scores.
    planted
        Scores of predictors of known quality (`tables.PLANTED_COLUMNS` and `dose`); may have no row.
    n_boot, seed
        Draws and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per task and metric. `gain` is how much better the ceiling is than the baseline, over
        the conditions with both, with the ends of its 95 % interval; `share` is the share of conditions on which it is;
        `informative` whether the interval lies above 0. `ceiling_full_depth` is the Spearman–Brown value of a positive
        correlation: the ceiling of two full samples instead of two halves. `tau_*` is Kendall's τ between the planted
        quality and the metric's means, with its interval; `orders` whether every interval lies above 0. For a metric X
        with an X_shared, `shared` names it, and the four columns behind it hold what other control cells, the baseline
        and the ceiling score in both. What cannot be computed is NaN, or None where it is a yes or no.

    Source
    ------
    METRICS.md, "Calibration".
    """
    judged = metrics[metrics["best"].notna()]
    suite = board[board["level"] == "suite"]
    means = suite.set_index([*GROUP, "metric", "model"])["mean"].to_dict()
    recovery = recover_ranks(planted, judged, n_boot=n_boot, seed=seed)
    rows = []
    for matrix in score_matrices(settled[settled["metric"].isin(judged["metric"])], metrics):
        calibration = calibrate(matrix, n_boot=n_boot, seed=seed)
        row = matrix.labels | _depth(matrix, means, calibration) | recovery.get((*matrix.task, matrix.metric), {})
        rows.append(row | _inflation(matrix, means, calibration))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"informative": object, "orders": object})


def _depth(
    matrix: ScoreMatrix, means: dict[tuple[str, ...], float], calibration: Calibration | None
) -> dict[str, object]:
    """Return what the ceiling says of a metric; its mean alone where there is no baseline to hold it against."""
    mean = calibration.ceiling_mean if calibration else means.get((*matrix.task, matrix.metric, CEILING), np.nan)
    correlation = _CORRELATION.match(matrix.metric) is not None and mean > 0
    row: dict[str, object] = {
        "ceiling_mean": mean,
        "ceiling_full_depth": 2 * mean / (1 + mean) if correlation else np.nan,
        "informative": None,
    }
    if calibration is None:
        return row
    return row | {
        "baseline": calibration.baseline,
        "baseline_mean": calibration.baseline_mean,
        "gain": calibration.gain,
        "gain_low": calibration.low,
        "gain_high": calibration.high,
        "share": calibration.share,
        "informative": calibration.informative,
    }


def _inflation(
    matrix: ScoreMatrix, means: dict[tuple[str, ...], float], calibration: Calibration | None
) -> dict[str, object]:
    """Return what those score in X and X_shared that know no perturbation's own effect, and the ceiling."""
    shared = f"{matrix.metric}_shared"

    def look_up(metric: str, model: str) -> float:
        return means.get((*matrix.task, metric, model), np.nan)

    row: dict[str, object] = {"other_controls": look_up(matrix.metric, "other_controls")}
    if np.isnan(look_up(shared, CEILING)) and np.isnan(look_up(shared, "other_controls")):
        return row
    return row | {
        "shared": shared,
        "other_controls_shared": look_up(shared, "other_controls"),
        "baseline_shared": look_up(shared, calibration.baseline) if calibration else np.nan,
        "ceiling_shared": look_up(shared, CEILING),
    }


def recover_ranks(
    planted: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int, seed: int
) -> dict[tuple[str, ...], dict[str, object]]:
    """Say for each task and metric how well it orders planted predictors: `TAUS` and "orders".

    Only conditions that have a value at every share of a mixture are used, the mean over folds each.
    """
    rows = planted[(planted["status"] == "ok") & planted["metric"].isin(metrics["metric"])]
    if rows.empty:
        return {}
    rows = rows.assign(condition=name_conditions(rows))
    sign = metrics.set_index("metric")["higher_is_better"].map({True: 1.0, False: -1.0})
    keys = [*GROUP, "metric", "mixture", "context", "condition"]
    # [task × metric × mixture × condition, share], each condition once
    wide = rows.groupby([*keys, "share"], sort=True, observed=True)["value"].mean().unstack("share")
    found: dict[tuple[str, ...], dict[str, object]] = {}
    for (*key, mixture), block in wide.groupby(keys[:-2], sort=True, observed=True):
        block = block.dropna(axis=1, how="all").dropna()
        if mixture not in MIXTURES or block.shape[1] < 2 or block.empty:
            continue
        sizes = context_sizes(block.index.get_level_values("context").to_numpy())
        values = sign[key[-1]] * block.to_numpy()
        means, draws = draw_means(values, sizes, n_boot=n_boot, seed=seed)
        low, high = interval_of(planted_tau(draws)[:, None])
        taus = (float(planted_tau(means[None])[0]), float(low[0]), float(high[0]))
        names = [f"tau_{mixture}{end}" for end in ("", "_low", "_high")]
        found.setdefault(tuple(key), {}).update(zip(names, taus, strict=True))
    for row in found.values():
        lows = [row[f"tau_{mixture}_low"] for mixture in MIXTURES if f"tau_{mixture}" in row]
        row["orders"] = bool(np.all(np.array(lows) > 0))
    return found


def planted_tau(goodness: np.ndarray) -> np.ndarray:
    """Return Kendall's τ [row] between falling goodness [row, share] and rising share of the mixture.

    Shares differ, so only the metric can tie, and a tied pair counts as not ordered (τ-a): a metric that is the same for
    every predictor gets 0, one that orders all of them 1, one that turns the order round −1. NaN in a row gives NaN.
    """
    i, j = np.triu_indices(goodness.shape[1], k=1)
    fall = goodness[:, i] - goodness[:, j]
    tied = np.abs(fall) <= _TIE * np.abs(goodness).max(axis=1, keepdims=True)
    return np.where(tied, 0.0, np.sign(fall)).mean(axis=1)
