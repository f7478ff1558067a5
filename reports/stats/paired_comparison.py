"""Paired differences between models over the same conditions: to the baselines, and between two models."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from reports.stats.bootstrap import mean_intervals
from reports.stats.condition_values import ScoreMatrix
from reports.tables import GROUP

EXACT = 50
"""Most conditions for which the exact distribution of the signed-rank statistic is used."""
BASELINES = ("train_mean", "train_control")
TESTS = ("gain", "low", "high", "p_wilcoxon", "p_holm")
PAIR_COLUMNS = (*GROUP, "metric", "model", "other", *TESTS[:3], "n_conditions", "p_wilcoxon")
COLUMNS = (*GROUP, "metric", "baseline", "model", *TESTS[:3], "n_conditions", *TESTS[3:])


def compare(matrices: Iterable[ScoreMatrix], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare every ranked model with the baselines of its task, on every scored metric.

    `matrices` are what `score_matrices` yielded: failed conditions take the value of no_change here too.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. `gain` is the mean difference to the baseline, in the metric's unit, positive where the
        model is better, with the ends of its 95 % hierarchical bootstrap interval. `p_wilcoxon` is of the signed-rank
        test over conditions; `p_holm` is corrected for the models compared with one baseline on one metric.

    Source
    ------
    docs/decisions/metrics.md, "Aggregation".
    """
    rows: list[dict[str, object]] = []
    for matrix in matrices:
        values, contexts, models = matrix.table()
        if not matrix.scored or not len(values) or len(models) == 1:
            continue
        for baseline in (name for name in BASELINES if name in models):
            others = [place for place, name in enumerate(models) if name != baseline]
            gains = matrix.sign * (values[:, others] - values[:, models.index(baseline)][:, None])
            p = signed_rank(gains)
            tests = (*mean_intervals(gains, contexts, n_boot=n_boot, seed=seed), p, holm(p))
            labels = matrix.labels | {"baseline": baseline, "n_conditions": len(gains)}
            rows += [
                labels | dict(zip(("model", *TESTS), (models[place], *test), strict=True))
                for place, *test in zip(others, *tests, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def paired_gain(
    matrix: ScoreMatrix, model: str, other: str, *, n_boot: int = 2000, seed: int = 0
) -> dict[str, float] | None:
    """Return how much better a model is than another over the same conditions; None where one has no ranked value.

    The keys are `gain`, `low`, `high` (paired hierarchical bootstrap, positive where better) and `n_conditions`.
    """
    found = _differences(matrix, model, other)
    if found is None:
        return None
    gain, contexts = found
    mean, low, high = mean_intervals(gain, contexts, n_boot=n_boot, seed=seed)
    return {"gain": float(mean[0]), "low": float(low[0]), "high": float(high[0]), "n_conditions": len(gain)}


def compare_pair(
    matrices: Iterable[ScoreMatrix], model: str, other: str, *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compare two models on every scored metric for which both have a ranked value.

    `matrices` are what `score_matrices` yielded: failed conditions take the value of no_change here too.

    Returns
    -------
    DataFrame
        Columns `PAIR_COLUMNS`. `gain` is how much better `model` is than `other`, in the metric's unit, as in `compare`.
        `p_wilcoxon` is of the signed-rank test over conditions, not corrected for the number of metrics.
    """
    rows: list[dict[str, object]] = []
    for matrix in matrices:
        gain = paired_gain(matrix, model, other, n_boot=n_boot, seed=seed) if matrix.scored else None
        found = _differences(matrix, model, other)
        if gain and found:
            test = {"p_wilcoxon": float(signed_rank(found[0])[0])}
            rows.append(matrix.labels | {"model": model, "other": other} | gain | test)
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def _differences(matrix: ScoreMatrix, model: str, other: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return by how much a model is better [condition, 1], and the contexts; None where one has no ranked value."""
    values, contexts, names = matrix.table()
    if model not in names or other not in names or not len(values):
        return None
    gain = matrix.sign * (values[:, names.index(model)] - values[:, names.index(other)])
    return gain[:, None], contexts


def signed_rank(differences: np.ndarray) -> np.ndarray:
    """Return the two-sided p-value [test] of Wilcoxon's signed-rank test of differences [condition, test].

    Exact for up to 50 conditions without ties or zeros, else by the normal approximation with correction for ties; 1 where
    no condition differs.
    """
    from scipy.stats import wilcoxon  # slow to import

    sizes, p = np.sort(np.abs(differences), axis=0), np.ones(differences.shape[1])
    differs = differences.any(axis=0)
    exact = differs & (np.diff(sizes, axis=0, prepend=0) > 0).all(axis=0) & (len(sizes) <= EXACT)
    for method, chosen in (("exact", exact), ("asymptotic", differs & ~exact)):
        if chosen.any():
            p[chosen] = wilcoxon(differences[:, chosen], method=method).pvalue
    return p


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values [test] corrected by Holm's step-down method.

    statsmodels' `multipletests` gives the same (a test holds the two together), but collects garbage in each call, which
    takes longer than everything else here.

    Source
    ------
    Holm, Scandinavian Journal of Statistics 6(2), 65–70, 1979.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p, dtype=float)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
