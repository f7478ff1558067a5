"""Is a model caught that answers the wrong direction? Its n2p change, handed in as a p2n answer, and what the scorer says."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.aggregate import leaderboard
from reports.tables import GROUP, Tables

METRICS = ("pearson_delta", "r2_pearson", "copy_margin", "copies_input")
AS_N2P = " as n2p"
"""Behind the name of a model whose n2p change was handed in as a p2n answer."""
RIGHT, BLIND = "planted", f"planted{AS_N2P}"
"""Planted predictors: the condition's own effect, turned round as p2n asks, and not turned round."""
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
    """Put wrong answers on the leaderboard of the right ones and say which are caught.

    Parameters
    ----------
    run
        Tables of a run that was asked p2n.
    answers
        Scores of answers in the wrong direction and of the planted predictors, as rows of scores.csv.
    n_boot, seed
        Draws and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per answer. `answer` is "p2n" (what was asked) or "n2p" (the model's n2p change, added to
        p2n's input). `verdict` is "caught" where the whole 95 % interval of pearson_delta lies below 0, the score of
        predicting no change: the answer moves the wrong way; "right way" where it lies above; "no change" where nothing
        was predicted; else "not told apart".
    """
    scores = run.scores[(run.scores["direction"] == "p2n") & run.scores["metric"].isin(METRICS)]
    metrics = run.metrics[run.metrics["metric"].isin(METRICS)]
    board = leaderboard(
        pd.concat([scores.astype(object), answers], ignore_index=True), metrics, n_boot=n_boot, seed=seed
    )
    board = board[(board["level"] == "suite") & board["mean"].notna() & (board["kind"] == "model")]
    rows = []
    for key, own in board.groupby([*GROUP, "model"], sort=False):
        values = own.set_index("metric")
        if "pearson_delta" not in values.index:
            continue
        lead = values.loc["pearson_delta"]
        name = str(key[-1])
        rows.append(
            dict(zip((*GROUP, "model"), key, strict=True))
            | {"model": name.removesuffix(AS_N2P), "answer": "n2p" if name.endswith(AS_N2P) else "p2n"}
            | {metric: values["mean"].get(metric, np.nan) for metric in METRICS}
            | {"low": lead["low"], "high": lead["high"], "scaled": lead["scaled"], "n_conditions": lead["n_conditions"]}
            | {"verdict": _verdict(lead["mean"], lead["low"], lead["high"])}
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values([*GROUP, "model", "answer"], ascending=[True] * 6 + [False], ignore_index=True)


def _verdict(mean: float, low: float, high: float) -> str:
    if mean == 0 and low == 0 and high == 0:
        return "no change"
    if high < 0:
        return "caught"
    return "right way" if low > 0 else "not told apart"
