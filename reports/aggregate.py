"""From one row per condition and seed to one row per model: the leaderboard.

The rules, in the order they apply:

1. A condition's value is the mean over its seeds and folds.
2. A condition on which a model failed, or which it declined while it took others, takes the value `no_change` has
   there. It is counted and the first reason is named; it is never dropped.
3. A condition that has no such score whoever predicts it (`too_few_genes`, …) is left out for everybody alike.
4. Mean over the conditions of a context; mean over contexts; interval by hierarchical bootstrap.
5. A model without a value of its own that did not fail either is an unranked row with its status and reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from reports.bootstrap import summarise
from reports.tables import DECLINED, FAILED, GROUP, LEFT_OUT, ReportError, check_metrics, check_scores

COLUMNS = (
    *GROUP,
    "level",
    "context",
    "model",
    "kind",
    "metric",
    "mean",
    "low",
    "high",
    "n_conditions",
    "n_failed",
    "n_unsupported",
    "n_left_out",
    "status",
    "reason",
    "budget",
    "audit",
    "rank",
)
_CELL = [*GROUP, "metric", "context", "condition"]
_MODEL = [*GROUP, "model", "kind"]


def leaderboard(scores: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Aggregate scores into one row per model, metric and level.

    Parameters
    ----------
    scores
        One row per condition × metric × model × seed (`tables.SCORE_COLUMNS`).
    metrics
        One row per metric (`tables.METRIC_COLUMNS`); its order is the order of the rows.
    n_boot
        Bootstrap draws of the 95 % interval.
    seed
        Seed of the draws.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. `level` is "suite" (mean over contexts, `context` empty) or "context". `mean`, `low` and
        `high` are in the metric's unit, NaN in an unranked row. `status` is ok where the model has at least one value
        of its own. `rank` is 1 for the best model of a scored metric, equal for equal means; NaN for references,
        metrics that are only reported, and models without a value.

    Raises
    ------
    ReportError
        What `check_scores` and `check_metrics` refuse, or fewer than one draw.

    Source
    ------
    METRICS.md, "Aggregation".
    """
    if n_boot < 1:
        raise ReportError(f"n_boot is {n_boot}; expected at least 1, and 2,000 or more for a report.")
    return rank_settled(settle(scores, metrics), metrics, n_boot=n_boot, seed=seed)


def rank_settled(settled: pd.DataFrame, metrics: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Make the leaderboard of `leaderboard` from what `settle` returned."""
    columns = {name: settled[name].to_numpy() for name in settled}
    rows = []
    for level, keys in (("suite", [*_MODEL, "metric"]), ("context", [*_MODEL, "metric", "context"])):
        for key, places in settled.groupby(keys, sort=True).indices.items():
            cells = {name: column[places] for name, column in columns.items()}
            rows.append(dict(zip(keys, key, strict=True)) | _summarise_cells(cells, n_boot, seed) | {"level": level})
    board = pd.DataFrame(rows)
    board["context"] = board["context"].fillna("")
    board["rank"] = _rank(board, metrics)
    return _sort(board, metrics)[list(COLUMNS)]


def settle(scores: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Give every model one value per condition and metric, by rules 1 to 3.

    Returns
    -------
    DataFrame
        One row per (`GROUP`, metric, context, condition, model), sorted. `value` is the model's, or no_change's in its
        place, NaN where neither is there; `own` tells which (the model's on every seed: True); `failed`, `declined`
        and `left_out` are booleans; `status` and `reason` are the first that are not ok; `budget` and `audit` are the
        worst of the model's rows in the task.

    Raises
    ------
    ReportError
        What `check_scores` and `check_metrics` refuse.
    """
    scores = check_scores(scores, check_metrics(metrics))
    doses = scores["dose"].map(lambda dose: "" if pd.isna(dose) else f" {dose:g} nM")
    scores["condition"] = scores["perturbation"] + doses
    rows = _complete(scores)
    unscorable = rows["status"].isin(LEFT_OUT) & (rows["kind"] == "model")
    rows["left_out"] = unscorable.groupby([rows[column] for column in _CELL]).transform("any")
    copies = rows[rows["model"] == "no_change"].groupby(_CELL)["value"].mean().rename("copy")
    rows = rows.join(copies, on=_CELL)
    rows["own"] = rows["status"] == "ok"
    rows["failed"] = rows["status"].isin(FAILED)
    rows["declined"] = rows["status"].isin(DECLINED)
    rows["value"] = rows["value"].where(~(rows["failed"] | rows["declined"]) | (rows["kind"] != "model"), rows["copy"])
    rows["gap"] = rows["value"].isna()
    # rows that are not ok come first within a condition, so that "first" names them
    rows = rows.sort_values([*_MODEL, "metric", "context", "condition", "own", "fold", "seed"], kind="stable")
    settled = rows.groupby([*_MODEL, "metric", "context", "condition"], sort=True).agg(
        value=("value", "mean"),
        gap=("gap", "any"),
        own=("own", "all"),
        any_own=("own", "any"),
        failed=("failed", "any"),
        declined=("declined", "any"),
        left_out=("left_out", "any"),
        status=("status", "first"),
        reason=("reason", "first"),
    )
    settled["value"] = settled["value"].where(~settled.pop("gap"))
    return settled.reset_index().merge(_worst(scores), on=_MODEL)


def _worst(scores: pd.DataFrame) -> pd.DataFrame:
    """Return budget and audit per model and task: "quick" where any row is, and the first audit that is not clean."""
    facts = scores[[*_MODEL, "budget", "audit"]].drop_duplicates()
    facts = facts.assign(clean=facts["audit"] == "clean", full=facts["budget"] == "full")
    audits = facts.sort_values([*_MODEL, "clean", "audit"]).groupby(_MODEL)["audit"].first()
    budgets = facts.sort_values([*_MODEL, "full", "budget"]).groupby(_MODEL)["budget"].first()
    return pd.concat([budgets, audits], axis=1).reset_index()


def _complete(scores: pd.DataFrame) -> pd.DataFrame:
    """Add a row with status "missing" wherever a model has none for a condition that another model has."""
    models = scores[scores["kind"] == "model"]
    grid = models[_CELL].drop_duplicates().merge(models[_MODEL].drop_duplicates(), on=list(GROUP))
    rows = grid.merge(models, on=[*_CELL, "model", "kind"], how="left")
    missing = rows["status"].isna()
    rows.loc[missing, "status"] = "missing"
    rows.loc[missing, "reason"] = "no row in scores.csv"
    return pd.concat([rows, scores[scores["kind"] == "reference"]], ignore_index=True)


def _summarise_cells(cells: Mapping[str, np.ndarray], n_boot: int, seed: int) -> dict[str, object]:
    """Summarise one model on one metric; `cells` are columns of its settled conditions, sorted by context."""
    keep = ~cells["left_out"] & (cells["own"] | (cells["kind"] != "reference"))
    used = {name: column[keep] for name, column in cells.items()}
    status, reason, has_mean = _judge(cells, used)
    mean = low = high = np.nan
    if has_mean:
        sizes = tuple(np.unique(used["context"], return_counts=True)[1].tolist())
        mean, low, high = summarise(used["value"], sizes, n_boot=n_boot, seed=seed)
    return {
        "mean": mean,
        "low": low,
        "high": high,
        "n_conditions": int(keep.sum()),
        "n_failed": int(used["failed"].sum()),
        "n_unsupported": int(used["declined"].sum()),
        "n_left_out": int(cells["left_out"].sum()),
        "status": status,
        "reason": reason,
        "budget": cells["budget"][0],
        "audit": cells["audit"][0],
    }


def _judge(cells: Mapping[str, np.ndarray], used: Mapping[str, np.ndarray]) -> tuple[str, str, bool]:
    """Return a model's status and reason, and whether it has a mean; `used` are the cells that are not left out."""
    source = used if len(used["value"]) else cells
    troubled = np.flatnonzero(source["failed"] | source["declined"] if source is used else ~source["own"])
    if not len(troubled):
        return "ok", "", bool(len(used["value"]))
    ran = bool(used["any_own"].any())
    tried = np.flatnonzero(used["failed"] & (used["status"] != "missing"))
    first = tried[0] if len(tried) and not ran else troubled[0]
    status = str(source["status"][first])
    reason = str(source["reason"][first]) or f"status {status}, no reason given"
    if ran:
        reason = f"{source['context'][first]}/{source['condition'][first]}: {reason}"
    if not ran and not len(tried):
        return status, reason, False
    if np.isnan(used["value"]).any():
        return status, f"{reason} (not ranked: no value of no_change to take its place)", False
    return "ok" if ran else status, reason, True


def _rank(board: pd.DataFrame, metrics: pd.DataFrame) -> pd.Series:
    """Rank models with a mean within each task, level, context and scored metric; equal means share the better rank."""
    facts = metrics.set_index("metric")
    sign = board["metric"].map(facts["higher_is_better"]).map({True: -1.0, False: 1.0})
    ranked = board["metric"].map(facts["scored"]) & (board["kind"] == "model")
    keys = [board[column] for column in (*GROUP, "level", "context", "metric")]
    return (board["mean"] * sign).where(ranked).groupby(keys).rank(method="min")


def _sort(board: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Order rows by task, suite before contexts, metric as in metrics.csv, models before references, rank, name."""
    position = {name: number for number, name in enumerate(metrics["metric"])}
    order = board.assign(_level=board["level"] != "suite", _metric=board["metric"].map(position))
    keys = [*GROUP, "_level", "context", "_metric", "kind", "rank", "model"]
    order = order.sort_values(keys, kind="stable", na_position="last", ignore_index=True)
    return order.drop(columns=["_level", "_metric"])
