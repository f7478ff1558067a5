"""Why models of a task have no value, or values that are not all their own."""

from __future__ import annotations

from reports.formatting import bullets, shorten
from reports.pages.page_sections import Section, TaskData
from reports.task_labels import describe_trouble

_NAMED = 6
"""Up to so many metrics are named in a note; more are counted."""


def write(data: TaskData) -> str:
    """List each reason once with its models and metrics, then what was left out for every model."""
    suite = data.suite[data.suite["kind"] == "model"]
    suite = suite.assign(trouble=[shorten(describe_trouble(row), 300) for _, row in suite.iterrows()])
    troubled = suite[suite["trouble"] != ""].groupby(["model", "trouble"], sort=True)["metric"].agg(tuple).reset_index()
    everything = suite["metric"].nunique()
    lines = []
    for (trouble, metrics), rows in troubled.groupby(["trouble", "metric"], sort=True):
        models = ", ".join(f"`{model}`" for model in rows["model"])
        few = ", ".join(metrics) if len(metrics) <= _NAMED else f"{len(metrics)} of {everything} metrics"
        where = "" if len(metrics) == everything else f" ({few})"
        lines.append(f"{models}{where}: {trouble}")
    left_out = suite[suite["n_left_out"] > 0].drop_duplicates(["metric", "n_left_out"])
    for count, rows in left_out.groupby("n_left_out", sort=True):
        lines.append(
            f"{', '.join(rows['metric'])}: {count} conditions have no such score and are left out for every model."
        )
    return bullets(lines)


SECTION = Section("", 60, write)
