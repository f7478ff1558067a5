"""Scores of metrics that have a form with a shared control, in both forms."""

from __future__ import annotations

from reports.formatting import markdown_table, number
from reports.pages.page_sections import Section, TaskData


def write(data: TaskData) -> str:
    """Write a line per metric that has both forms."""
    rows = data.quality[data.quality["shared"].notna()]
    if rows.empty:
        return ""
    forms = {"other_controls": "other_controls", "baseline": "baseline_mean", "ceiling": "ceiling_mean"}
    header = ["metric", *(f"{name.replace('_', ' ')}, {how}" for name in forms for how in ("disjoint", "shared"))]
    columns = [column for name, disjoint in forms.items() for column in (disjoint, f"{name}_shared")]
    lines = [[row["metric"], *(number(row[column], 2) for column in columns)] for _, row in rows.iterrows()]
    return markdown_table(header, lines, left=1)


SECTION = Section("Effect of a shared control", 90, write)
