"""How good a metric is: does it see the split half above the baseline, and can it order predictors of known quality?"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.formatting import interval
from reports.stats.bootstrap import context_sizes, draw_means, interval_of, mean_intervals, mean_over_contexts
from reports.stats.condition_values import ScoreMatrix, name_conditions
from reports.tables import GROUP

SPLIT_HALF = "split_half"
"""Reference whose gain on the baseline says whether a metric is informative: it has the noise of half the cells."""
CEILING = "ceiling"
"""Reference that scaled values are measured by: what no predictor beats but by chance."""
MIXTURES = ("noise", "mean_effect", "input")
"""What planted predictors are mixed with, as in planted.csv."""
TAUS = tuple(f"tau_{mixture}{end}" for mixture in MIXTURES for end in ("", "_low", "_high"))
COLUMNS = (
    *(*GROUP, "metric", "baseline", "baseline_mean", "split_half_mean", "gain", "gain_low", "gain_high"),
    *("split_half_full_depth", "ceiling_mean", "share", "informative", *TAUS, "orders"),
    *("shared", "other_controls", "other_controls_shared", "baseline_shared", "split_half_shared"),
)
_CORRELATION = re.compile(r"(pearson|spearman|cosine)_delta|de_lfc_spearman$")
_TIE = 1e-9
"""Two means nearer than this, relative to the largest of them, are tied: their sums differ by rounding only."""


def baseline_of(direction: str) -> str:
    """Name the baseline that `scaled` is measured from: train_control for p2n, train_mean otherwise."""
    return "train_control" if direction == "p2n" else "train_mean"


@dataclass(frozen=True)
class Calibration:
    """Split half and baseline of one metric over the same conditions."""

    baseline: str
    baseline_mean: float
    split_half_mean: float
    gain: float
    """How much better the split half is, in the metric's unit; negative where it is worse."""
    gain_low: float
    gain_high: float
    """Ends of the gain's 95 % interval (paired hierarchical bootstrap); NaN for a single condition."""
    share: float
    """Share of the conditions on which the split half is better."""
    rows: np.ndarray
    """[condition]: where both have a value."""

    @property
    def informative(self) -> bool:
        """Whether the split half is better than the baseline by more than the bootstrap error."""
        return self.gain_low > 0

    @property
    def reason(self) -> str:
        """Say why the metric is uninformative here."""
        values = f"split half {self.split_half_mean:.4g}, {self.baseline} {self.baseline_mean:.4g}"
        error = interval(self.gain_low, self.gain_high, 4) or ", no interval from one condition"
        return (
            f"the split half is not better than the baseline beyond error ({values}; better by {self.gain:.4g}{error})"
        )


def calibrate(matrix: ScoreMatrix, *, n_boot: int, seed: int) -> Calibration | None:
    """Compare the split half with the task's baseline, over the conditions on which both have a value; None without any.

    Source
    ------
    docs/decisions/metrics.md.
    """
    name = baseline_of(matrix.task[-1])
    split_half, baseline = matrix.column(SPLIT_HALF), matrix.column(name)
    if split_half is None or baseline is None or not matrix.ranked[baseline]:
        return None
    rows = matrix.kept[:, split_half] & matrix.kept[:, baseline]
    if not rows.any():
        return None
    pair = matrix.value[rows][:, [baseline, split_half]]
    gain = matrix.sign * (pair[:, 1] - pair[:, 0])
    values = np.column_stack([pair, gain])
    means, low, high = mean_intervals(values, matrix.contexts[rows], n_boot=n_boot, seed=seed)
    baseline_mean, split_half_mean, better = means.tolist()
    share = float((gain > 0).mean())
    return Calibration(name, baseline_mean, split_half_mean, better, float(low[2]), float(high[2]), share, rows)


def scale(matrix: ScoreMatrix, column: int, calibration: Calibration) -> float:
    """Return (mean − baseline) / (ceiling − baseline) of one model, over the conditions on which all have a value.

    It is 0 at the baseline, 1 at the ceiling, not clipped; NaN where there is no such condition, or the ceiling is not better
    than the baseline.
    """
    ceiling_column = matrix.column(CEILING)
    if ceiling_column is None:
        return np.nan
    rows = calibration.rows & matrix.kept[:, ceiling_column] & matrix.kept[:, column]
    rows &= np.isfinite(matrix.value[:, column])
    if not rows.any():
        return np.nan
    places = [column, matrix.models.index(calibration.baseline), ceiling_column]
    mean, baseline, ceiling = mean_over_contexts(matrix.value[rows][:, places], context_sizes(matrix.contexts[rows]))
    # + 0.0: no minus before the baseline's zero
    better = matrix.sign * (ceiling - baseline) > 0
    return float((mean - baseline) / (ceiling - baseline)) + 0.0 if better else np.nan


def rate_metrics(
    matrices: Iterable[ScoreMatrix], board: pd.DataFrame, planted: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Rate every metric that has a best value, in every task.

    `matrices` are what `score_matrices` yielded, `board` is the leaderboard of the same scores, and `planted` is a table
    as in `tables.Tables`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per task and metric. `gain` is how much better the split half is than the baseline, over
        the conditions with both, with the ends of its 95 % interval; `share` is the share of conditions on which it is;
        `informative` whether the interval lies above 0. `split_half_full_depth` is the Spearman–Brown value of a positive
        correlation: the split half of two full samples instead of two halves. `tau_*` is Kendall's τ between the planted
        quality and the metric's means, with its interval; `orders` whether every interval lies above 0. For a metric X
        with an X_shared, `shared` names it, and the four columns behind it hold what other control cells, the baseline
        and the split half score in both. What cannot be computed is NaN, or None where it is a yes or no.

    Source
    ------
    docs/decisions/metrics.md.
    """
    suite = board[board["level"] == "suite"]
    means = suite.set_index([*GROUP, "metric", "model"])["mean"].to_dict()
    blocks = _planted_blocks(planted)
    rows = []
    for matrix in matrices:
        if matrix.judged:
            calibration = calibrate(matrix, n_boot=n_boot, seed=seed)
            row = matrix.labels | _calibration_row(matrix, means, calibration)
            rows.append(row | _rank_recovery(matrix, blocks, n_boot, seed))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"informative": object, "orders": object})


def _calibration_row(
    matrix: ScoreMatrix, means: Mapping[tuple[str, ...], float], calibration: Calibration | None
) -> dict[str, object]:
    """Return what the references and the baseline score in X, and in X_shared where there is one."""
    shared = f"{matrix.metric}_shared"

    def look_up(metric: str, model: str) -> float:
        return means.get((*matrix.task, metric, model), np.nan)

    half = calibration.split_half_mean if calibration else look_up(matrix.metric, SPLIT_HALF)
    row: dict[str, object] = {
        "split_half_mean": half,
        "ceiling_mean": look_up(matrix.metric, CEILING),
        "other_controls": look_up(matrix.metric, "other_controls"),
    }
    if _CORRELATION.match(matrix.metric) and half > 0:
        row["split_half_full_depth"] = 2 * half / (1 + half)
    row |= vars(calibration) | {"informative": calibration.informative} if calibration else {"informative": None}
    if not np.isnan(look_up(shared, SPLIT_HALF)) or not np.isnan(look_up(shared, "other_controls")):
        row |= {"shared": shared, "split_half_shared": look_up(shared, SPLIT_HALF)}
        row["other_controls_shared"] = look_up(shared, "other_controls")
        row["baseline_shared"] = look_up(shared, calibration.baseline) if calibration else np.nan
    return row


def _planted_blocks(planted: pd.DataFrame) -> dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
    """Return (task, metric, mixture) → means over folds [condition, share], and the context of each condition."""
    rows = planted[planted["status"] == "ok"]
    if rows.empty:
        return {}
    rows = rows.assign(condition=name_conditions(rows))
    keys = [*GROUP, "metric", "mixture"]
    means = rows.groupby([*keys, "context", "condition", "share"], sort=True, observed=True)["value"].mean()
    wide = means.unstack("share")
    values, contexts = wide.to_numpy(), wide.index.get_level_values("context").to_numpy()
    groups = wide.groupby(keys, sort=True, observed=True).indices
    return {key: (values[own], contexts[own]) for key, own in groups.items()}


def _rank_recovery(
    matrix: ScoreMatrix, blocks: Mapping[tuple[str, ...], pd.DataFrame], n_boot: int, seed: int
) -> dict[str, object]:
    """Say how well a metric orders planted predictors, over the conditions with a value at every share of a mixture."""
    found: dict[str, object] = {}
    lows = []
    for mixture in MIXTURES:
        values, contexts = blocks.get((*matrix.task, matrix.metric, mixture), (np.empty((0, 0)), np.empty(0)))
        values = values[:, np.isfinite(values).any(axis=0)]
        rows = np.isfinite(values).all(axis=1)
        if values.shape[1] < 2 or not rows.any():
            continue
        sizes = context_sizes(contexts[rows])
        means, draws = draw_means(matrix.sign * values[rows], sizes, n_boot=n_boot, seed=seed)
        low, high = interval_of(planted_tau(draws)[:, None])
        names = (f"tau_{mixture}", f"tau_{mixture}_low", f"tau_{mixture}_high")
        found |= dict(zip(names, (planted_tau(means[None])[0], low[0], high[0]), strict=True))
        lows.append(low[0])
    return found | {"orders": all(low > 0 for low in lows)} if lows else {}


def planted_tau(goodness: np.ndarray) -> np.ndarray:
    """Return Kendall's τ [row] between falling goodness [row, share] and rising share of the mixture.

    Shares differ, so only the metric can tie, and a tied pair counts as not ordered (τ-a): a metric that is the same for
    every predictor gets 0, one that orders all of them 1, one that turns the order round −1. NaN in a row gives NaN.
    """
    i, j = np.triu_indices(goodness.shape[1], k=1)
    fall = goodness[:, i] - goodness[:, j]
    tied = np.abs(fall) <= _TIE * np.abs(goodness).max(axis=1, keepdims=True)
    return np.where(tied, 0.0, np.sign(fall)).mean(axis=1)
