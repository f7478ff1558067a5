"""Is an answer in the wrong direction caught? The score of each model's n2p change as a p2n answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.stats.aggregate import leaderboard
from reports.stats.bootstrap import mean_intervals
from reports.tables import GROUP, Tables

METRICS = ("pearson_delta", "r2_pearson", "copy_margin", "copies_input")
AS_N2P = " as n2p"
"""Suffix of a model whose n2p change is scored as a p2n answer."""
RIGHT, BLIND = "planted", f"planted{AS_N2P}"
"""Planted predictors: the condition's own effect, reversed as p2n requires, and unchanged."""
COLUMNS = (
    *GROUP,
    "model",
    "answer",
    "pearson_delta",
    "low",
    "high",
    "scaled",
    "r2_pearson",
    "copy_margin",
    "copies_input",
    "verdict",
    "n_conditions",
)


def judge_directions(run: Tables, answers: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Rank answers in the wrong direction beside the right ones and decide which are caught.

    Parameters
    ----------
    run
        Tables of a run with the direction p2n.
    answers
        Scores of answers in the wrong direction and of the planted predictors, as rows of scores.csv.
    n_boot, seed
        Draws and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per answer. `answer` is "p2n" (the required direction) or "n2p" (the model's n2p change, added to
        p2n's input). `verdict` is "caught" where the whole 95 % interval of pearson_delta lies below 0, the score of
        predicting no change: the answer moves the wrong way; "right way" where it lies above; "no change" where nothing
        was predicted; else "not told apart".
    """
    scores = run.scores[(run.scores["direction"] == "p2n") & run.scores["metric"].isin(METRICS)]
    metrics = run.metrics[run.metrics["metric"].isin(METRICS)]
    answers = answers[answers["metric"].isin(METRICS)]
    board = leaderboard(
        pd.concat([scores.astype(object), answers], ignore_index=True), metrics, n_boot=n_boot, seed=seed
    )
    board = board[(board["level"] == "suite") & board["mean"].notna() & (board["kind"] == "model")]
    board = board.astype(dict.fromkeys((*GROUP, "model", "metric"), object))
    rows = []
    for key, own in board.groupby([*GROUP, "model"], sort=False):
        values = own.set_index("metric")
        if "pearson_delta" not in values.index:
            continue
        lead = values.loc["pearson_delta"]
        name = str(key[-1])
        rows.append(
            dict(zip((*GROUP, "model"), key, strict=True))
            | _answer(name)
            | {metric: values["mean"].get(metric, np.nan) for metric in METRICS}
            | {"low": lead["low"], "high": lead["high"], "scaled": lead["scaled"], "n_conditions": lead["n_conditions"]}
            | {"verdict": _verdict(lead["mean"], lead["low"], lead["high"])}
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values([*GROUP, "model", "answer"], ascending=[True] * 6 + [False], ignore_index=True)


def _answer(name: str) -> dict[str, str]:
    """Return the model without the direction in its name, and the answer; both directions of a model share the name."""
    answer = "n2p" if name.endswith(AS_N2P) else "p2n"
    return {"model": name.removesuffix(AS_N2P).removesuffix(f"_{answer}"), "answer": answer}


def rate_metrics(answers: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Test for every metric whether it depends on the direction: is the planted effect better reversed than unchanged?

    Parameters
    ----------
    answers
        As for `judge_directions`; the planted predictors' rows are used.
    metrics
        One row per metric (`tables.METRIC_COLUMNS`).
    n_boot, seed
        Draws and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns metric, right, blind (means in the metric's unit), gain (positive where right is better), low, high,
        n_conditions, sees (whether the interval of the gain lies above 0).
    """
    ok = answers[(answers["status"] == "ok") & answers["model"].isin((RIGHT, BLIND))]
    wide = ok.pivot_table(index=["metric", "context", "perturbation"], columns="model", values="value", aggfunc="mean")
    wide = wide.reindex(columns=[RIGHT, BLIND]).dropna()
    rows = []
    for row in metrics[metrics["best"].notna() & metrics["metric"].isin(wide.index.get_level_values(0))].itertuples():
        own = wide.loc[row.metric].sort_index()
        sign = 1.0 if row.higher_is_better else -1.0
        values = np.column_stack([own[RIGHT], own[BLIND], sign * (own[RIGHT] - own[BLIND])])
        contexts = own.index.get_level_values("context").to_numpy()
        means, low, high = mean_intervals(values, contexts, n_boot=n_boot, seed=seed)
        numbers = dict(zip(("right", "blind", "gain"), means.tolist(), strict=True))
        facts = {"low": low[2], "high": high[2], "n_conditions": len(own), "sees": bool(low[2] > 0)}
        rows.append({"metric": row.metric} | numbers | facts)
    return pd.DataFrame(rows)


def _verdict(mean: float, low: float, high: float) -> str:
    if mean == 0 and low == 0 and high == 0:
        return "no change"
    if high < 0:
        return "caught"
    return "right way" if low > 0 else "not told apart"
