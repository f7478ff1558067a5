"""Values that are missing: how many, of which models, and why."""

import pandas as pd

from reports.formatting import bullets, markdown_table, shorten
from reports.pages.page_sections import Section
from reports.stats.run_statistics import RunStatistics
from reports.tables import UNINFORMATIVE
from reports.task_labels import tasks

_TASK = ["protocol", "direction", "dataset", "model"]


def write(run: RunStatistics) -> str:
    """Write the table of missing values, and the metrics that do not rank in each task."""
    lines = []
    for task, board in tasks(run.leaderboard):
        rows = board[(board["level"] == "suite") & board["reason"].str.contains(f"{UNINFORMATIVE}: ", regex=False)]
        names = list(rows["metric"].unique())
        if names:
            lines.append(f"{task.title}: {len(names)} metrics are uninformative and do not rank: {', '.join(names)}.")
    text = "\n\n".join(filter(None, (_table(run.settled, run.tables.metrics), bullets(lines))))
    return text or "Nothing: every model has a value of its own everywhere."


def _table(settled: pd.DataFrame, metrics: pd.DataFrame) -> str:
    """Count the conditions without a value of the model's own; models with the same line share it."""
    family = metrics.set_index("metric")["family"]
    settled = settled.assign(family=settled["metric"].astype(object).map(family))
    rows = settled.loc[~settled["own"], [*_TASK, "family", "status", "reason"]].astype(object)
    total = settled.groupby([*_TASK, "family"], observed=True).size()
    lines = []
    for (*key, status), part in rows.groupby([*_TASK, "status"], sort=True):
        counts = part["family"].value_counts()
        present = [name for name in family.unique() if name in counts]
        reasons = part["reason"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
        others = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        lines.append(
            {
                "task": f"{key[2]}, {key[0]}, {key[1]}",
                "model": key[3],
                "status": status,
                "values missing, by family of metrics": ", ".join(
                    f"{name} {counts[name]:,}/{total[(*key, name)]:,}" for name in present
                ),
                "most frequent reason": shorten(str(reasons.index[0]), 110) + others or "–",
            }
        )
    if not lines:
        return ""
    table = pd.DataFrame(lines)
    shared = [column for column in table if column != "model"]
    table = table.groupby(shared, sort=False)["model"].agg(", ".join).reset_index()[list(table)]
    return markdown_table(table.sort_values(["task", "model", "status"]).to_dict("records"), left=5)


SECTION = Section("What is missing, and why", 10, write, per_task=False)
