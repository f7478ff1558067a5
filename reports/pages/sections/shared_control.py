"""Scores of metrics that have a form with a shared control, in both forms."""

from reports.formatting import markdown_table, number
from reports.pages.page_sections import Section, TaskData

_FORMS = {"other controls": "other_controls", "baseline": "baseline_mean", "split_half": "split_half_mean"}


def write(data: TaskData) -> str:
    """Write a line per metric that has both forms."""
    lines = []
    for _, row in data.quality[data.quality["shared"].notna()].iterrows():
        line = {"metric": row["metric"]}
        for name, column in _FORMS.items():
            line[f"{name}, disjoint"] = number(row[column], 2)
            line[f"{name}, shared"] = number(row[f"{column.removesuffix('_mean')}_shared"], 2)
        lines.append(line)
    return markdown_table(lines, left=1)


SECTION = Section("Effect of a shared control", 90, write)
