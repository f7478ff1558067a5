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
    lines = uninformative_lines(run)
    table = markdown_table(missing_lines(run), left=5)
    text = "\n\n".join(filter(None, (table, bullets(lines))))
    return text or "Nothing: every model has a value of its own everywhere."


def uninformative_lines(run: RunStatistics) -> list[str]:
    """Say for each task which metrics do not rank."""
    lines = []
    for task, board in tasks(run.leaderboard):
        rows = board[(board["level"] == "suite") & board["reason"].str.contains(f"{UNINFORMATIVE}: ", regex=False)]
        names = list(rows["metric"].unique())
        if names:
            lines.append(f"{task.title}: {len(names)} metrics are uninformative and do not rank: {', '.join(names)}.")
    return lines


def missing_lines(run: RunStatistics) -> list[dict[str, str]]:
    """Count the conditions without a value of the model's own; models with the same line share it."""
    family = run.tables.metrics.set_index("metric")["family"]
    settled = run.settled
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
        return []
    table = pd.DataFrame(lines)
    shared = [column for column in table if column != "model"]
    table = table.groupby(shared, sort=False)["model"].agg(", ".join).reset_index()[list(table)]
    return table.sort_values(["task", "model", "status"]).to_dict("records")


SECTION = Section("What is missing, and why", 10, write, per_task=False)
