"""Values that are missing: how many, of which models, and why."""

from __future__ import annotations

import pandas as pd

from reports.formatting import bullets, markdown_table, shorten
from reports.pages.page_sections import Section
from reports.stats.run_statistics import RunStatistics
from reports.tables import UNINFORMATIVE
from reports.task_labels import Task, tasks


def write(run: RunStatistics) -> str:
    """Write the table of missing values, and the metrics that do not rank in each task."""
    lines = [_uninformative(task, rows) for task, rows in tasks(run.leaderboard)]
    text = "\n\n".join(filter(None, (_table(run.settled, run.tables.metrics), bullets(filter(None, lines)))))
    return text or "Nothing: every model has a value of its own everywhere."


def _table(settled: pd.DataFrame, metrics: pd.DataFrame) -> str:
    """Count the conditions without a value of the model's own; models with the same line share it."""
    task_columns = ["protocol", "direction", "dataset", "model"]
    rows = settled.loc[~settled["own"], [*task_columns, "metric", "status", "reason"]].astype(object)
    if rows.empty:
        return ""
    family = metrics.set_index("metric")["family"]
    total = settled.groupby([*task_columns, settled["metric"].astype(object).map(family)], observed=True).size()
    rows = rows.assign(family=rows["metric"].map(family))
    lines = []
    for (*key, status), part in rows.groupby([*task_columns, "status"], sort=True):
        counts = part["family"].value_counts()
        present = [name for name in family.unique() if name in counts]
        where = ", ".join(f"{name} {counts[name]:,}/{total[(*key, name)]:,}" for name in present)
        reasons = part["reason"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
        others = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        why = shorten(str(reasons.index[0]), 110) + others
        protocol, direction, dataset, model = key
        lines.append([f"{dataset}, {protocol}, {direction}", model, status, where, why or "–"])
    order = ["task", "model", "status", "where", "why"]
    table = pd.DataFrame(lines, columns=order)
    table = table.groupby(["task", "status", "where", "why"], sort=False)["model"].agg(", ".join).reset_index()
    header = ["task", "model", "status", "values missing, by family of metrics", "most frequent reason"]
    return markdown_table(header, table.sort_values(["task", "model", "status"])[order].to_numpy().tolist(), left=5)


def _uninformative(task: Task, board: pd.DataFrame) -> str:
    suite = board[(board["level"] == "suite") & board["reason"].str.contains(f"{UNINFORMATIVE}: ", regex=False)]
    metrics = list(suite["metric"].unique())
    named = f"{len(metrics)} metrics are uninformative and do not rank: {', '.join(metrics)}."
    return f"{task.title}: {named}" if metrics else ""


SECTION = Section("What is missing, and why", 10, write, per_task=False)
