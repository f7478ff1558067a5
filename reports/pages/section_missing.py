"""What the page says of values that are not there: how many, of whom, and why."""

from __future__ import annotations

import pandas as pd

from reports.formatting import markdown_table, shorten
from reports.tables import UNINFORMATIVE
from reports.task_labels import Task, describe_trouble

_NAMED = 6
"""Up to so many metrics are named in a note; more are counted."""


def missing_table(settled: pd.DataFrame, metrics: pd.DataFrame) -> str:
    """Count the conditions without a value of the model's own, by task, model, status and family of metrics.

    Parameters
    ----------
    settled
        What `settle.settle` returned.
    metrics
        One row per metric (`tables.METRIC_COLUMNS`).

    Returns
    -------
    str
        A Markdown table; models with the same line share it. "" where nothing is missing.
    """
    labels = ["protocol", "direction", "dataset", "model", "metric", "status", "reason"]
    rows = settled.loc[~settled["own"], labels].astype(object)
    if rows.empty:
        return ""
    family = metrics.set_index("metric")["family"]
    total = settled.groupby([*labels[:4], settled["metric"].astype(object).map(family)], observed=True).size().to_dict()
    rows = rows.assign(family=rows["metric"].map(family))
    lines = []
    for key, part in rows.groupby([*labels[:4], "status"], sort=True):
        task = key[:4]
        counts = (
            part["family"].value_counts().reindex([name for name in family.unique() if name in set(part["family"])])
        )
        where = ", ".join(f"{name} {count:,}/{total[(*task, name)]:,}" for name, count in counts.items())
        reasons = part["reason"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
        why = shorten(str(reasons.index[0]), 110) + (
            f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        )
        lines.append([f"{key[2]}, {key[0]}, {key[1]}", key[3], key[4], where, why or "–"])
    table = pd.DataFrame(lines, columns=["task", "model", "status", "where", "why"])
    table = table.groupby(["task", "status", "where", "why"], sort=False)["model"].agg(", ".join).reset_index()
    order = ["task", "model", "status", "where", "why"]
    header = ["task", "model", "status", "values missing, by family of metrics", "most frequent reason"]
    return markdown_table(header, table.sort_values(["task", "model", "status"])[order].to_numpy().tolist(), left=5)


def uninformative_line(task: Task, board: pd.DataFrame) -> str:
    """Name the metrics that do not rank a task; "" where all do."""
    suite = board[(board["level"] == "suite") & board["reason"].str.contains(f"{UNINFORMATIVE}: ", regex=False)]
    metrics = list(suite["metric"].unique())
    if not metrics:
        return ""
    return f"{task.title}: {len(metrics)} metrics are uninformative and do not rank: {', '.join(metrics)}."


def notes(board: pd.DataFrame) -> list[str]:
    """Say why a model of a task has no value, or not only its own, once per reason; and what was left out."""
    suite = board[(board["level"] == "suite") & (board["kind"] == "model")]
    suite = suite.assign(trouble=[shorten(describe_trouble(row), 300) for _, row in suite.iterrows()])
    troubled = suite[suite["trouble"] != ""].groupby(["model", "trouble"], sort=True)["metric"].agg(tuple).reset_index()
    lines = []
    for (trouble, metrics), rows in troubled.groupby(["trouble", "metric"], sort=True):
        models = ", ".join(f"`{model}`" for model in rows["model"])
        everything = suite["metric"].nunique()
        few = ", ".join(metrics) if len(metrics) <= _NAMED else f"{len(metrics)} of {everything} metrics"
        where = "" if len(metrics) == everything else f" ({few})"
        lines.append(f"{models}{where}: {trouble}")
    left_out = suite[suite["n_left_out"] > 0].drop_duplicates(["metric", "n_left_out"])
    for count, rows in left_out.groupby("n_left_out", sort=True):
        lines.append(
            f"{', '.join(rows['metric'])}: {count} conditions have no such score and are left out for every model."
        )
    return lines
