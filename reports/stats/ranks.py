"""Many models on many conditions: Friedman's test, the Nemenyi critical difference, and who beats whom."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from reports.stats.paired_comparison import holm, signed_rank
from reports.stats.score_matrix import score_matrices
from reports.tables import GROUP

ALPHA = 0.05
FRIEDMAN_COLUMNS = (
    *GROUP,
    "metric",
    "model",
    "mean_rank",
    "n_models",
    "n_conditions",
    "chi2",
    "p",
    "critical_difference",
)
WIN_COLUMNS = (*GROUP, "metric", "model", "other", "wins", "n_conditions", "p_wilcoxon", "p_holm")


def rank_models(settled: pd.DataFrame, metrics: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank the models of every task on every scored metric, condition by condition.

    Parameters
    ----------
    settled
        What `condition_values` returned: failed conditions take the value of no_change here too.
    metrics
        One row per metric (`tables.METRIC_COLUMNS`).

    Returns
    -------
    friedman : DataFrame
        Columns `FRIEDMAN_COLUMNS`, one row per model that has a value. `mean_rank` is the mean over conditions of its
        rank (1 is best, ties share the mean); `chi2` and `p` are Friedman's, NaN below three models; two models whose
        mean ranks differ by less than `critical_difference` cannot be told apart at 5 % (Nemenyi).
    wins : DataFrame
        Columns `WIN_COLUMNS`, one row per ordered pair. `wins` is the share of conditions on which `model` is better
        than `other`, ties counting half; `p_holm` is Wilcoxon's p corrected for all pairs of the metric.

    Notes
    -----
    Conditions count alike here, whatever their context, and as if they were independent; the intervals of the
    leaderboard, which draw contexts first, are the more careful answer.

    Source
    ------
    Demšar, Journal of Machine Learning Research 7, 1–30, 2006.
    """
    scored = set(metrics.loc[metrics["scored"], "metric"])
    ranks: list[dict[str, object]] = []
    pairs: list[dict[str, object]] = []
    for matrix in score_matrices(settled[settled["metric"].isin(scored)], metrics):
        values, _, models = matrix.table()
        ranks += [matrix.labels | row for row in _friedman_rows(matrix.sign * values, models)]
        pairs += [matrix.labels | row for row in _win_rows(matrix.sign * values, models)]
    return pd.DataFrame(ranks, columns=list(FRIEDMAN_COLUMNS)), pd.DataFrame(pairs, columns=list(WIN_COLUMNS))


def friedman(goodness: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the mean ranks [model], χ² and p of Friedman's test with correction for ties.

    Parameters
    ----------
    goodness
        Scores [condition, model], more is better.

    Returns
    -------
    tuple
        χ² is 0 and p is 1 where all models tie on every condition; both are NaN below three models.
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


def _friedman_rows(goodness: np.ndarray, models: list[str]) -> list[dict[str, object]]:
    n, k = goodness.shape
    if not goodness.size:
        return []
    means, statistic, p = friedman(goodness)
    facts = {
        "n_models": k,
        "n_conditions": n,
        "chi2": statistic,
        "p": p,
        "critical_difference": critical_difference(k, n) if k > 1 else np.nan,
    }
    return [{"model": model, "mean_rank": rank} | facts for model, rank in zip(models, means.tolist(), strict=True)]


def _win_rows(goodness: np.ndarray, models: list[str]) -> list[dict[str, object]]:
    i, j = np.triu_indices(len(models), k=1)
    if not len(i) or not len(goodness):
        return []
    apart = goodness[:, i] - goodness[:, j]
    wins = ((apart > 0) + 0.5 * (apart == 0)).mean(axis=0)
    p = signed_rank(apart)
    rows = []
    for a, b, share, raw, corrected in zip(i, j, wins.tolist(), p.tolist(), holm(p).tolist(), strict=True):
        for model, other, won in ((a, b, share), (b, a, 1 - share)):
            rows.append(
                {
                    "model": models[model],
                    "other": models[other],
                    "wins": won,
                    "n_conditions": len(goodness),
                    "p_wilcoxon": raw,
                    "p_holm": corrected,
                }
            )
    return rows
