"""Would the order of the models be another under another metric, context, seed, fold, or number of cells?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.stats.bootstrap import context_sizes, mean_over_contexts
from reports.stats.condition_values import condition_values
from reports.stats.score_matrix import ScoreMatrix, score_matrices
from reports.tables import GROUP
from reports.task_labels import lead_metric

COLUMNS = (*GROUP, "headline", "by", "subset", "model", "mean", "rank", "n_conditions", "n_models", "tau")
EVERYTHING = "everything"


def rank_sensitivity(
    scores: pd.DataFrame, settled: pd.DataFrame, board: pd.DataFrame, metrics: pd.DataFrame
) -> pd.DataFrame:
    """Rank the models of each task on parts of what the leaderboard is made of.

    Parameters
    ----------
    scores
        One row per condition × metric × model × seed (`tables.SCORE_COLUMNS`).
    settled
        What `condition_values` made of them.
    board
        What `aggregate.leaderboard` made of them; it tells each task's headline.
    metrics
        One row per metric (`tables.METRIC_COLUMNS`).

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per model and subset. `by` is "everything" (the headline over all conditions),
        "metric" (each scored metric), "context", "fold", "seed" or "cells" (conditions with more truth cells than the
        median, and the others), the last four under the headline. `mean` is in the metric's unit, `rank` 1 for the best
        (equal means share the mean rank), `tau` Kendall's τ-b of the subset's order to that of everything, over the
        models with a value in both: NaN below two of them or where one order is all ties.
    """
    rows: list[dict[str, object]] = []
    whole: dict[tuple[str, ...], dict[str, float]] = {}
    leads = {key: lead_metric(part) for key, part in board.groupby(list(GROUP), sort=True, observed=True)}
    subsets = list(_subsets(scores, settled, metrics, leads))
    for by, _, matrix in subsets:
        if by == EVERYTHING:
            whole[matrix.task] = _goodness(matrix)
    for by, subset, matrix in subsets:
        goodness = _goodness(matrix)
        tau = order_agreement(goodness, whole.get(matrix.task, {}))
        ranks = pd.Series(goodness, dtype=float).rank(ascending=False)
        head = dict(zip(GROUP, matrix.task, strict=True)) | {"headline": leads[matrix.task], "by": by, "subset": subset}
        facts = {
            "n_conditions": int(matrix.kept[:, matrix.ranked].any(axis=1).sum()),
            "n_models": len(goodness),
            "tau": tau,
        }
        rows += [
            head | {"model": model, "mean": matrix.sign * value, "rank": ranks[model]} | facts
            for model, value in goodness.items()
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def order_agreement(one: dict[str, float], other: dict[str, float]) -> float:
    """Return Kendall's τ-b between two sets of scores, over the models in both; NaN where it is not defined."""
    from scipy.stats import kendalltau  # slow to import

    common = sorted(set(one) & set(other))
    first, second = [one[model] for model in common], [other[model] for model in common]
    if len(set(first)) < 2 or len(set(second)) < 2:
        return np.nan
    return float(kendalltau(first, second).statistic)


def _subsets(
    scores: pd.DataFrame, settled: pd.DataFrame, metrics: pd.DataFrame, leads: dict[tuple[str, ...], str]
) -> Iterator[tuple[str, str, ScoreMatrix]]:
    """Yield (by, subset, matrix) in the order of the rows."""
    scored = set(metrics.loc[metrics["scored"], "metric"]) | set(leads.values())
    for matrix in score_matrices(settled[settled["metric"].isin(scored)], metrics):
        yield "metric", matrix.metric, matrix
        if matrix.metric != leads[matrix.task]:
            continue
        yield EVERYTHING, "", matrix
        contexts = np.unique(matrix.contexts)
        for context in contexts if len(contexts) > 1 else []:
            yield "context", context, matrix.rows(matrix.contexts == context)
        many = (
            matrix.n_truth_cells > np.nanmedian(matrix.n_truth_cells)
            if np.isfinite(matrix.n_truth_cells).any()
            else None
        )
        if many is not None and many.any() and not many.all():
            yield "cells", "few", matrix.rows(~many)
            yield "cells", "many", matrix.rows(many)
    for task, rows in scores.groupby(list(GROUP), sort=True, observed=True):
        headline = rows[rows["metric"] == leads[task]]
        for by in ("fold", "seed"):
            parts = list(headline.groupby(by, sort=True))
            for value, part in parts if len(parts) > 1 else []:
                yield from (
                    (by, str(value), matrix) for matrix in score_matrices(condition_values(part, metrics), metrics)
                )


def _goodness(matrix: ScoreMatrix) -> dict[str, float]:
    """Return the means over contexts of ranked models, turned so that more is better."""
    values, contexts, models = matrix.table()
    if not len(values):
        return {}
    means = matrix.sign * mean_over_contexts(values, context_sizes(contexts))
    return dict(zip(models, means.tolist(), strict=True))
