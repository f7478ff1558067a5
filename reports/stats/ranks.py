"""The order of the models: Friedman's test, Nemenyi's critical difference, wins, and how the order depends on the data."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from reports.stats.bootstrap import context_sizes, mean_over_contexts
from reports.stats.condition_values import ScoreMatrix, condition_values, score_matrices
from reports.stats.paired_comparison import holm, signed_rank
from reports.tables import GROUP, Tables
from reports.task_labels import lead_metric

ALPHA = 0.05
EVERYTHING = "everything"
FRIEDMAN_COLUMNS = (
    *(*GROUP, "metric", "model", "mean_rank"),
    *("n_models", "n_conditions", "chi2", "p", "critical_difference"),
)
WIN_COLUMNS = (*GROUP, "metric", "model", "other", "wins", "n_conditions", "p_wilcoxon", "p_holm")
SENSITIVITY_COLUMNS = (*GROUP, "headline", "by", "subset", "model", "mean", "rank", "n_conditions", "n_models", "tau")


def rank_models(matrices: Iterable[ScoreMatrix]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank the models of every task on every scored metric, condition by condition.

    `matrices` are what `score_matrices` yielded: failed conditions take the value of no_change here too. Conditions count
    alike here, whatever their context, and as if they were independent; the intervals of the leaderboard, which draw
    contexts first, are the more careful answer.

    Returns
    -------
    friedman : DataFrame
        Columns `FRIEDMAN_COLUMNS`, one row per model that has a value. `mean_rank` is the mean over conditions of its
        rank (1 is best, ties share the mean); `chi2` and `p` are Friedman's, NaN below three models; two models whose
        mean ranks differ by less than `critical_difference` cannot be told apart at 5 % (Nemenyi).
    wins : DataFrame
        Columns `WIN_COLUMNS`, one row per ordered pair. `wins` is the share of conditions on which `model` is better
        than `other`, ties counting half; `p_holm` is Wilcoxon's p corrected for all pairs of the metric.

    Source
    ------
    Demšar, Journal of Machine Learning Research 7, 1–30, 2006.
    """
    ranks: list[dict[str, object]] = []
    pairs: list[dict[str, object]] = []
    for matrix in matrices:
        values, _, models = matrix.table()
        if matrix.scored and values.size:
            ranks += [matrix.labels | row for row in _friedman_rows(matrix.sign * values, models)]
            pairs += [matrix.labels | row for row in _win_rows(matrix.sign * values, models)]
    return pd.DataFrame(ranks, columns=list(FRIEDMAN_COLUMNS)), pd.DataFrame(pairs, columns=list(WIN_COLUMNS))


def friedman(goodness: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the mean ranks [model], χ² and p of Friedman's test with correction for ties.

    Of `goodness` [condition, model], more is better. χ² is 0 and p is 1 where all models tie on every condition; both are
    NaN below three models.
    """
    from scipy.stats import rankdata  # slow to import

    n, k = goodness.shape
    ranks = rankdata(-goodness, axis=1)
    means = ranks.mean(axis=0)
    if k < 3:
        return means, np.nan, np.nan
    expected = (k + 1) / 2
    within = float(((ranks - expected) ** 2).sum())
    if within == 0:
        return means, 0.0, 1.0
    statistic = (k - 1) * n**2 * float(((means - expected) ** 2).sum()) / within
    return means, statistic, float(chdtrc(k - 1, statistic))


@lru_cache
def critical_difference(n_models: int, n_conditions: int) -> float:
    """Return the difference of mean ranks above which two of the models differ at 5 % (Nemenyi).

    Source
    ------
    Demšar 2006, equation for CD in section 3.2.2; q is the studentized range over √2.
    """
    from scipy.stats import studentized_range  # slow to import

    q = studentized_range.ppf(1 - ALPHA, n_models, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_models * (n_models + 1) / (6 * n_conditions)))


def _friedman_rows(goodness: np.ndarray, models: Sequence[str]) -> list[dict[str, object]]:
    n, k = goodness.shape
    means, statistic, p = friedman(goodness)
    facts: dict[str, object] = {"n_models": k, "n_conditions": n, "chi2": statistic, "p": p}
    facts["critical_difference"] = critical_difference(k, n) if k > 1 else np.nan
    return [{"model": model, "mean_rank": rank} | facts for model, rank in zip(models, means, strict=True)]


def _win_rows(goodness: np.ndarray, models: Sequence[str]) -> Iterator[dict[str, object]]:
    i, j = np.triu_indices(len(models), k=1)
    apart = goodness[:, i] - goodness[:, j]
    wins = ((apart > 0) + 0.5 * (apart == 0)).mean(axis=0)
    p = signed_rank(apart)
    for a, b, share, raw, corrected in zip(i.tolist(), j.tolist(), wins, p, holm(p), strict=True):
        facts = {"n_conditions": len(goodness), "p_wilcoxon": raw, "p_holm": corrected}
        yield {"model": models[a], "other": models[b], "wins": share} | facts
        yield {"model": models[b], "other": models[a], "wins": 1 - share} | facts


def rank_sensitivity(matrices: Iterable[ScoreMatrix], board: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Rank the models of each task on parts of what the leaderboard is made of.

    `matrices` are what `score_matrices` yielded, and `board`, the leaderboard of the same scores, names each task's
    headline.

    Returns
    -------
    DataFrame
        Columns `SENSITIVITY_COLUMNS`, one row per model and subset. `by` is "everything" (the headline over all
        conditions), "metric" (each scored metric), "context", "fold", "seed" or "cells" (conditions with more truth cells
        than the median, and the others), the last four under the headline. `mean` is in the metric's unit, `rank` 1 for
        the best (equal means share the mean rank), `tau` Kendall's τ-b of the subset's order to that of everything, over
        the models with a value in both: NaN below two of them or where one order is all ties.
    """
    rows: list[dict[str, object]] = []
    leads = {key: lead_metric(part) for key, part in board.groupby(list(GROUP), sort=True, observed=True)}
    subsets = [*_subsets(matrices, leads), *_folds_and_seeds(tables, leads)]
    whole = {matrix.task: _goodness(matrix) for by, _, matrix in subsets if by == EVERYTHING}
    for by, subset, matrix in subsets:
        goodness = _goodness(matrix)
        ranks = pd.Series(goodness, dtype=float).rank(ascending=False)
        head: dict[str, object] = dict(zip(GROUP, matrix.task, strict=True))
        head |= {"headline": leads[matrix.task], "by": by, "subset": subset}
        head["n_conditions"] = int(matrix.kept[:, matrix.ranked].any(axis=1).sum())
        head |= {"n_models": len(goodness), "tau": order_agreement(goodness, whole.get(matrix.task, {}))}
        rows += [
            head | {"model": model, "mean": matrix.sign * value, "rank": ranks[model]}
            for model, value in goodness.items()
        ]
    return pd.DataFrame(rows, columns=list(SENSITIVITY_COLUMNS))


def order_agreement(one: dict[str, float], other: dict[str, float]) -> float:
    """Return Kendall's τ-b between two sets of scores, over the models in both; NaN where it is not defined."""
    from scipy.stats import kendalltau  # slow to import

    common = sorted(set(one) & set(other))
    first, second = [one[model] for model in common], [other[model] for model in common]
    if len(set(first)) < 2 or len(set(second)) < 2:
        return np.nan
    return float(kendalltau(first, second).statistic)


def _subsets(
    matrices: Iterable[ScoreMatrix], leads: dict[tuple[str, ...], str]
) -> Iterator[tuple[str, str, ScoreMatrix]]:
    """Yield each scored metric, then the headline's whole, its contexts, and its conditions by number of cells."""
    for matrix in matrices:
        if matrix.scored or matrix.metric in leads.values():
            yield "metric", matrix.metric, matrix
        if matrix.metric != leads[matrix.task]:
            continue
        yield EVERYTHING, "", matrix
        contexts = list(matrix.by_context())
        yield from (("context", name, part) for name, part in contexts if len(contexts) > 1)
        cells = matrix.n_truth_cells
        many = cells > np.nanmedian(cells) if np.isfinite(cells).any() else np.zeros(len(cells), dtype=bool)
        if many.any() and not many.all():
            yield "cells", "few", matrix.rows(~many)
            yield "cells", "many", matrix.rows(many)


def _folds_and_seeds(tables: Tables, leads: dict[tuple[str, ...], str]) -> Iterator[tuple[str, str, ScoreMatrix]]:
    """Yield the headline of each task in each fold and with each seed, where there are several."""
    for task, rows in tables.scores.groupby(list(GROUP), sort=True, observed=True):
        headline = rows[rows["metric"] == leads[task]]
        for by in ("fold", "seed"):
            parts = list(headline.groupby(by, sort=True))
            for value, part in parts if len(parts) > 1 else []:
                settled = condition_values(part, tables.metrics)
                yield from ((by, str(value), matrix) for matrix in score_matrices(settled, tables.metrics))


def _goodness(matrix: ScoreMatrix) -> dict[str, float]:
    """Return the means over contexts of ranked models, turned so that more is better."""
    values, contexts, models = matrix.table()
    if not len(values):
        return {}
    means = matrix.sign * mean_over_contexts(values, context_sizes(contexts))
    return dict(zip(models, means.tolist(), strict=True))
