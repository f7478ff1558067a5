"""Audits of a suite: effects of leakage, of the direction and of batch correction on its scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from reports.stats.aggregate import leaderboard
from reports.stats.bootstrap import mean_intervals
from reports.stats.condition_values import ScoreMatrix, condition_values, score_matrices
from reports.tables import GROUP, Tables

METRICS = ("pearson_delta", "r2_pearson", "mse")
"""What the audits of protocol and integration show."""
TASK = ("suite", "dataset", "source", "direction")
PROTOCOL_COLUMNS = (
    *(*TASK, "metric", "model", "kind", "honest_protocol", "honest", "leaky"),
    *("gain", "low", "high", "share", "n_conditions"),
)
FLOOR = "no_change"
DIRECTION_METRICS = ("pearson_delta", "r2_pearson", "copy_margin", "copies_input")
AS_N2P = " as n2p"
"""Suffix of a model whose n2p change is scored as a p2n answer."""
RIGHT, BLIND = "planted", f"planted{AS_N2P}"
"""Planted predictors: the condition's own effect, reversed as p2n requires, and unchanged."""
DIRECTION_COLUMNS = (
    *(*GROUP, "model", "answer", "pearson_delta", "low", "high", "scaled"),
    *(*DIRECTION_METRICS[1:], "verdict", "n_conditions"),
)
INTEGRATION_COLUMNS = (
    *(*GROUP, "method", "metric", "model", "kind"),
    *("mean", "low", "high", "effect_left", "n_conditions"),
)


def compare_protocols(honest: Tables, leaky: Tables, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare scores of one suite under its own protocol and under one that leaks: how much of a score is leakage?

    Only conditions that both runs test are compared, each with itself.

    Returns
    -------
    DataFrame
        Columns `PROTOCOL_COLUMNS`, one row per direction, metric of `METRICS` and model or reference with a value in both.
        `honest` and `leaky` are means in the metric's unit; `gain` is how much better the leaky score is, with its 95 %
        interval; `share` is the share of the leaky score above `no_change` that is gone under the honest protocol:
        1 − (honest − no_change) / (leaky − no_change), above 1 where honestly nothing is left. It is NaN where the leaky
        score is not above no_change's.
    """
    others = _by_task(leaky)
    pairs = ((matrix, others[key]) for key, matrix in _by_task(honest).items() if key in others)
    rows = [row for one, other in pairs for row in _protocol_rows(one, other, n_boot, seed)]
    return pd.DataFrame(rows, columns=list(PROTOCOL_COLUMNS))


def _by_task(tables: Tables) -> dict[tuple[str, ...], ScoreMatrix]:
    """Return the matrices of `METRICS` by `TASK` and metric, that is, without the protocol."""
    scores = tables.scores[tables.scores["metric"].isin(METRICS)]
    matrices = score_matrices(condition_values(scores, tables.metrics), tables.metrics)
    return {tuple(str(matrix.labels[name]) for name in (*TASK, "metric")): matrix for matrix in matrices}


def _protocol_rows(honest: ScoreMatrix, leaky: ScoreMatrix, n_boot: int, seed: int) -> list[dict[str, object]]:
    """Compare every model of one task and metric, over the conditions of both protocols."""
    names = [pd.MultiIndex.from_arrays([matrix.contexts, matrix.conditions]) for matrix in (honest, leaky)]
    both = names[0].isin(names[1])
    one, other = honest.rows(both), leaky.rows(names[1].get_indexer(names[0][both]))
    rows: list[dict[str, Any]] = []
    for model in (name for name in one.models if name in other.models):
        sides = [(matrix, matrix.models.index(model)) for matrix in (one, other)]
        values, kept, own = (
            np.column_stack([getattr(matrix, name)[:, place] for matrix, place in sides])
            for name in ("value", "kept", "any_own")
        )
        keep = kept.all(axis=1) & np.isfinite(values).all(axis=1)
        if not own[keep].any(axis=0).all():
            continue  # no value under one of the protocols
        values = values[keep]
        gain = one.sign * (values[:, 1] - values[:, 0])
        columns = np.column_stack([values, gain])
        means, low, high = mean_intervals(columns, one.contexts[keep], n_boot=n_boot, seed=seed)
        rows.append(
            {name: honest.labels[name] for name in (*TASK, "metric")}
            | {"model": model, "kind": "model" if one.is_model[sides[0][1]] else "reference"}
            | {"honest_protocol": honest.labels["protocol"], "n_conditions": len(values)}
            | dict(zip(("honest", "leaky", "gain"), means.tolist(), strict=True))
            | {"low": low[2], "high": high[2]}
        )
    floor = next((row for row in rows if row["model"] == FLOOR), None)
    for row in rows:
        if floor is not None and row is not floor:
            left, whole = (one.sign * (row[side] - floor[side]) for side in ("honest", "leaky"))
            row["share"] = 1 - left / whole if whole > 0 else np.nan
    return rows


def judge_directions(run: Tables, answers: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Rank answers in the wrong direction beside the right ones of a run of p2n, and decide which are caught.

    `answers` are the scores of answers in the wrong direction and of the planted predictors, as rows of scores.csv.

    Returns
    -------
    DataFrame
        Columns `DIRECTION_COLUMNS`, one row per answer. `answer` is "p2n" (the required direction) or "n2p" (the model's
        n2p change, added to p2n's input). `verdict` is "caught" where the whole 95 % interval of pearson_delta lies below
        0, the score of predicting no change: the answer moves the wrong way; "right way" where it lies above; "no change"
        where nothing was predicted; else "not told apart".
    """
    board = _models_of_suite(
        pd.concat([run.scores[run.scores["direction"] == "p2n"].astype(object), answers], ignore_index=True),
        run.metrics[run.metrics["metric"].isin(DIRECTION_METRICS)],
        n_boot,
        seed,
    )
    board = board[board["kind"] == "model"]
    keys = [*GROUP, "model"]
    means = board.pivot(index=keys, columns="metric", values="mean").reindex(columns=list(DIRECTION_METRICS))
    lead = board[board["metric"] == DIRECTION_METRICS[0]].set_index(keys)
    table = means.join(lead[["low", "high", "scaled", "n_conditions"]], how="inner").reset_index()
    answer = np.where(table["model"].str.endswith(AS_N2P), "n2p", "p2n")
    names = [
        name.removesuffix(AS_N2P).removesuffix(f"_{way}") for name, way in zip(table["model"], answer, strict=True)
    ]
    verdicts = map(_verdict, table["pearson_delta"], table["low"], table["high"])
    table = table.assign(model=names, answer=answer, verdict=list(verdicts))[list(DIRECTION_COLUMNS)]
    return table.sort_values([*keys, "answer"], ascending=[True] * 6 + [False], ignore_index=True)


def _models_of_suite(scores: pd.DataFrame, metrics: pd.DataFrame, n_boot: int, seed: int) -> pd.DataFrame:
    """Return the leaderboard's rows of suite level that have a mean, text as text."""
    board = leaderboard(scores[scores["metric"].isin(metrics["metric"])], metrics, n_boot=n_boot, seed=seed)
    board = board[(board["level"] == "suite") & board["mean"].notna()]
    return board.astype(dict.fromkeys((*GROUP, "metric", "model", "kind"), object))


def _verdict(mean: float, low: float, high: float) -> str:
    if mean == low == high == 0:
        return "no change"
    return "caught" if high < 0 else "right way" if low > 0 else "not told apart"


def rate_metrics(answers: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Test for every metric whether it depends on the direction: is the planted effect better reversed than unchanged?

    `answers` are as for `judge_directions`; the planted predictors' rows are used.

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


def compare_integrations(
    runs: Mapping[str, Tables], effects: Mapping[str, pd.DataFrame], *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Join the scores of one suite under several methods of integration.

    Scores in the unit of the data (mse) are of another space under each method and are not to be compared across; the
    correlations are without unit, but their truth has changed with the cells.

    `runs` are the tables of a run by method, and `effects` its `integration/effects.csv`; none for the cells as they are.

    Returns
    -------
    DataFrame
        Columns `INTEGRATION_COLUMNS`. `effect_left` is the median share of a detected perturbation's E-distance to its
        controls that the method leaves: 1 without integration.
    """
    parts = []
    for method, tables in runs.items():
        metrics = tables.metrics[tables.metrics["metric"].isin(METRICS)]
        board = _models_of_suite(tables.scores, metrics, n_boot, seed)
        table = effects.get(method)
        left = 1.0 if table is None else float(table.loc[table["detected"], "share"].median())
        parts.append(board.assign(method=method, effect_left=left))
    return pd.concat(parts, ignore_index=True)[list(INTEGRATION_COLUMNS)]
