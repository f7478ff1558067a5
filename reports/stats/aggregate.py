"""From one value per condition to one row per model: the leaderboard.

The rules, after those of `condition_values`:

4. Mean over the conditions of a context; mean over contexts; interval by hierarchical bootstrap.
5. A model without a value of its own (it declined, failed on every condition, or has not run) is an unranked row with its
   status and reason.
6. A metric whose split half is not better than the baseline by more than the bootstrap error is uninformative: its rows
   keep their means and have neither rank nor scaled value. Without split half, ceiling or baseline, only the scaled value is missing.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from reports.stats.bootstrap import context_sizes, draw_means, mean_intervals
from reports.stats.condition_values import ScoreMatrix, condition_values, score_matrices
from reports.stats.metric_quality import calibrate, scale
from reports.stats.paired_comparison import holm
from reports.tables import GROUP, LEFT_OUT, NOT_RUN, UNINFORMATIVE, ReportError

COLUMNS = (
    *(*GROUP, "level", "context", "model", "kind", "metric", "mean", "low", "high", "scaled"),
    *("n_conditions", "n_failed", "n_unsupported", "n_left_out", "n_not_run"),
    *("status", "reason", "budget", "audit", "rank", "p_best"),
)


def leaderboard(scores: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Aggregate scores into one row per model, metric and level, metrics in the order of `metrics`.

    `scores` and `metrics` are tables as in `tables.Tables`; `n_boot` and `seed` are draws and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. `level` is "suite" (mean over contexts, `context` empty) or "context". `mean`, `low` and
        `high` are in the metric's unit, NaN in a row without a value. `scaled` is 0 at the task's baseline and 1 at the
        ceiling, NaN where the metric is not scored or not informative. `status` is ok where the model has at least one
        value of its own, "uninformative" where it has but the metric cannot rank. `rank` is 1 for the best model of a
        scored metric, equal for equal means; NaN for references, metrics that are only reported or uninformative, and
        models without a value. `n_not_run` counts conditions that the model has still to run, with some seed or all.
        `p_best` is the p-value of the paired bootstrap against the model of rank 1, two-sided,
        corrected by Holm over the models of the metric; NaN where there is no rank or no interval.

    Raises
    ------
    ReportError
        What `check_scores` and `check_metrics` refuse, or fewer than one draw.

    Source
    ------
    docs/decisions/metrics.md.
    """
    settled = condition_values(scores, metrics)
    return rank_settled(settled, score_matrices(settled, metrics), metrics, n_boot=n_boot, seed=seed)


def rank_settled(
    settled: pd.DataFrame,
    matrices: Iterable[ScoreMatrix],
    metrics: pd.DataFrame,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Make the leaderboard of `leaderboard` from what `condition_values` returned, and `score_matrices` made of it."""
    if n_boot < 1:
        raise ReportError(f"n_boot is {n_boot}; expected at least 1, and 2,000 or more for a report.")
    rows: list[dict[str, object]] = []
    for matrix in matrices:
        rows += _summarise(matrix, "suite", "", n_boot, seed)
        for context, part in matrix.by_context():
            rows += _summarise(part, "context", context, n_boot, seed)
    facts = settled[[*GROUP, "model", "kind", "budget", "audit"]].drop_duplicates()
    board = pd.DataFrame(rows).merge(facts, on=[*GROUP, "model"], how="left")
    # task, suite before contexts, metric as in metrics.csv, models before references, best first
    place = board["metric"].map({name: number for number, name in enumerate(metrics["metric"])})
    board = board.assign(within=board["level"] != "suite", place=place, goodness=-board["goodness"])
    keys = [*GROUP, "within", "context", "place", "kind", "goodness", "model"]
    return board.sort_values(keys, kind="stable", na_position="last", ignore_index=True)[list(COLUMNS)]


def _summarise(matrix: ScoreMatrix, level: str, context: str, n_boot: int, seed: int) -> list[dict[str, object]]:
    """Return one row per model and reference of one metric at one level."""
    kept, every = matrix.kept, range(len(matrix.models))
    status, reason, valued = map(np.array, zip(*(_judge(matrix, column) for column in every), strict=True))
    mean, low, high = _means(matrix, valued, n_boot, seed)
    goodness = np.where(matrix.is_model, matrix.sign * mean, np.nan)
    calibration = calibrate(matrix, n_boot=n_boot, seed=seed) if matrix.scored else None
    scaled, rank = np.full((2, len(matrix.models)), np.nan)
    if calibration is not None and calibration.informative:
        scaled = np.array([scale(matrix, column, calibration) if valued[column] else np.nan for column in every])
    elif calibration is not None:
        blunt, why = matrix.is_model & valued, f"{UNINFORMATIVE}: {calibration.reason}"
        status = np.where(blunt & (status == "ok"), UNINFORMATIVE, status)
        reason = np.where(blunt, [f"{text}; {why}" if text else why for text in reason], reason)
    if matrix.scored and (calibration is None or calibration.informative):
        rank = np.where(np.isfinite(goodness), (goodness[:, None] > goodness).sum(axis=0) + 1.0, np.nan)
    columns = {
        "model": matrix.models,
        "status": status,
        "reason": reason,
        "mean": mean,
        "low": low,
        "high": high,
        "scaled": scaled,
        "n_conditions": kept.sum(axis=0),
        "n_failed": (kept & matrix.failed).sum(axis=0),
        "n_unsupported": (kept & matrix.declined).sum(axis=0),
        "n_left_out": matrix.left_out.sum(axis=0),
        "n_not_run": matrix.not_run.sum(axis=0),
        "rank": rank,
        "p_best": _against_best(matrix, rank, n_boot, seed),
        "goodness": goodness,
    }
    labels = matrix.labels | {"level": level, "context": context}
    rows = zip(*(np.asarray(column)[matrix.present.any(axis=0)].tolist() for column in columns.values()), strict=True)
    return [labels | dict(zip(columns, row, strict=True)) for row in rows]


def _means(matrix: ScoreMatrix, valued: np.ndarray, n_boot: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return mean and ends of the interval [model], NaN where a model has no mean."""
    mean, low, high = np.full((3, len(matrix.models)), np.nan)
    left = np.flatnonzero(valued)
    while len(left):  # once for all models, and once for each reference that lacks conditions
        rows = matrix.kept[:, left[0]]
        alike = left[(matrix.kept[:, left] == rows[:, None]).all(axis=0)]
        values = matrix.value[rows][:, alike]
        mean[alike], low[alike], high[alike] = mean_intervals(values, matrix.contexts[rows], n_boot=n_boot, seed=seed)
        left = np.setdiff1d(left, alike)
    return mean, low, high


def _against_best(matrix: ScoreMatrix, rank: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    """Return the Holm-corrected p-values [model] of the bootstrap of the difference to the model of rank 1."""
    p = np.full(len(rank), np.nan)
    ranked = np.flatnonzero(np.isfinite(rank))
    if not len(ranked):
        return p
    best = ranked[np.argmin(rank[ranked])]
    others = ranked[ranked != best]
    rows = matrix.kept[:, best]
    if rows.sum() < 2:
        return p
    p[best] = 1.0
    if len(others):
        apart = matrix.value[rows][:, others] - matrix.value[rows][:, [best]]
        _, draws = draw_means(apart, context_sizes(matrix.contexts[rows]), n_boot=n_boot, seed=seed)
        smaller = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
        p[others] = holm(np.minimum(1.0, 2 * (smaller + 1) / (n_boot + 1)))
    return p


def _judge(matrix: ScoreMatrix, column: int) -> tuple[str, str, bool]:
    """Return a model's status and reason, and whether it has a mean."""
    used = np.flatnonzero(matrix.kept[:, column])
    cells = used if len(used) else np.flatnonzero(matrix.present[:, column])
    failed, declined = matrix.failed[cells, column], matrix.declined[cells, column]
    waiting = matrix.not_run[cells, column] & ~matrix.any_own[cells, column]
    troubled = cells[(failed | declined | waiting) if len(used) else ~matrix.own[cells, column]]
    if not len(troubled):
        return ("ok", "", True) if len(used) else (*_why_left_out(matrix), False)
    ran = bool(matrix.any_own[used, column].any())
    tried = used[matrix.failed[used, column] & (matrix.status[used, column] != "missing")]
    first = tried[0] if len(tried) and not ran else troubled[0]  # a failure says more than a condition it declined
    status = str(matrix.status[first, column])
    reason = str(matrix.reason[first, column]) or f"status {status}, no reason given"
    if not ran:
        return status, reason, False
    reason = f"{matrix.contexts[first]}/{matrix.conditions[first]}: {reason}"
    if np.isnan(matrix.value[used, column]).any():
        return status, f"{reason} (not ranked: no value of no_change to take its place)", False
    return "ok", reason, True


def _why_left_out(matrix: ScoreMatrix) -> tuple[str, str]:
    """Return status and reason of the first condition that is left out for every model because of one of them."""
    row, column = np.argwhere(np.isin(matrix.status, [*LEFT_OUT, NOT_RUN]) & matrix.is_model)[0]
    return str(matrix.status[row, column]), f"every condition is left out, the first because of {matrix.models[column]}"
