"""One table per family of metrics."""

from reports.formatting import markdown_table
from reports.pages.page_sections import BRACKET, Section, TaskData
from reports.task_labels import marked

FAMILIES = {
    "profile": "Profile",
    "change": "Change from control",
    "retrieval": "Retrieval",
    "expression": "Differential expression",
    "distribution": "Distribution",
    "audit": "Input-copy audit",
    "metrics": "All metrics",
}


def write(data: TaskData) -> str:
    """Write a line per metric and a column per model that has a value of any; the best ranked model in bold."""
    valued = set(data.suite.loc[data.suite["mean"].notna(), "model"])
    columns = {
        row.model: marked(row.model, row.kind, BRACKET) for row in data.leaders.itertuples() if row.model in valued
    }
    if not columns:
        return ""
    best = {(row.model, row.metric) for row in data.suite.itertuples() if row.rank == 1}
    parts = []
    for family, rows in data.metrics.groupby("family", sort=False):
        lines = []
        for row in rows.itertuples():
            title = data.metric_title(row.metric)
            line = {"metric": title if row.scored else title.replace(row.metric, f"*{row.metric}*")}
            for model, column in columns.items():
                text = data.cells.get((model, row.metric), "–")
                line[column] = f"**{text}**" if (model, row.metric) in best else text
            lines.append(line)
        parts += [f"### {FAMILIES.get(family, family)}", markdown_table(lines, left=1)]
    return "\n\n".join([*parts, "Best ranked model in bold; metrics in italics are reported, not ranked."])


SECTION = Section("", 70, write)
