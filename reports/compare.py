"""Who beats the mean effect, and by how much: paired differences over the same conditions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from reports.bootstrap import summarise
from reports.tables import GROUP

BASELINES = ("train_mean", "train_control")
COLUMNS = (*GROUP, "metric", "baseline", "model", "gain", "low", "high", "n_conditions", "p_wilcoxon", "p_holm")


def compare(settled: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare every ranked model with the baselines of its task, on every scored metric.

    Parameters
    ----------
    settled
        What `aggregate.settle` returned: failed conditions take the value of no_change here too.
    metrics, n_boot, seed
        As for `aggregate.leaderboard`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. `gain` is the mean difference to the baseline, in the metric's unit, positive where the
        model is better, with the ends of its 95 % hierarchical bootstrap interval. `p_wilcoxon` is of the signed-rank
        test over conditions; `p_holm` is corrected for the models compared with one baseline on one metric.

    Source
    ------
    METRICS.md, "Aggregation".
    """
    scored = metrics[metrics["scored"]].set_index("metric")["higher_is_better"]
    settled = settled[settled["metric"].isin(scored.index) & (settled["kind"] == "model") & ~settled["left_out"]]
    rows: list[dict[str, object]] = []
    for key, group in settled.groupby([*GROUP, "metric"], sort=True):
        values = _values(group) * (1.0 if scored[key[-1]] else -1.0)
        for baseline in [name for name in BASELINES if name in values]:
            tests = [_test(values[model] - values[baseline], n_boot, seed) for model in values if model != baseline]
            models = [model for model in values if model != baseline]
            adjusted = holm(np.array([test["p_wilcoxon"] for test in tests]))
            head = dict(zip([*GROUP, "metric"], key, strict=True)) | {"baseline": baseline}
            rows += [
                head | {"model": model, "p_holm": p} | test
                for model, test, p in zip(models, tests, adjusted, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _values(group: pd.DataFrame) -> pd.DataFrame:
    """Return the values [condition, model] of the models that have one on every condition and gave some themselves."""
    usable = group.groupby("model").agg(ran=("any_own", "any"), failed=("failed", "any"), value=("value", "min"))
    whole = ~group["value"].isna().groupby(group["model"]).any()
    names = usable.index[(usable["ran"] | usable["failed"]) & whole]
    cells = group[group["model"].isin(names)]
    return cells.pivot(index=["context", "condition"], columns="model", values="value")


def _test(difference: pd.Series, n_boot: int, seed: int) -> dict[str, float]:
    """Test one paired difference [condition]."""
    sizes = tuple(difference.groupby("context", sort=True).size())
    gain, low, high = summarise(difference.to_numpy(), sizes, n_boot=n_boot, seed=seed)
    p = float(wilcoxon(difference).pvalue) if difference.ne(0).any() else 1.0
    return {"gain": gain, "low": low, "high": high, "n_conditions": len(difference), "p_wilcoxon": p}


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values [test] corrected by Holm's step-down method.

    Source
    ------
    Holm, Scandinavian Journal of Statistics 6(2), 65–70, 1979.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p, dtype=float)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
