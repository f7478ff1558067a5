"""What each model is, and what it can predict."""

from reports.formatting import markdown_table
from reports.pages.page_sections import Section
from reports.stats.run_statistics import RunStatistics
from reports.tables import ABILITIES

LABELS = {
    "yes": "it predicts it",
    "fallback": "it predicts something more general, such as the mean effect, and reports that",
    "ignored": "its prediction does not depend on it",
    "no": "it declines",
    "–": "not stated",
}
"""Meaning of the labels in the table."""


def write(run: RunStatistics) -> str:
    """Write a line per model; nothing without `models.csv`."""
    models = run.tables.models
    if models.empty:
        return ""
    rows = [
        {"model": f"`{row['model']}`", "directions": row["directions"].replace(" ", ", ")}
        | {ability.replace("_", " "): row[ability] or "–" for ability in ABILITIES}
        | {"what it is": " ".join(filter(None, (row["summary"], row["limits"]))), "source": row["source"]}
        for _, row in models.iterrows()
    ]
    used = set(models[list(ABILITIES)].replace("", "–").to_numpy().ravel())
    legend = "; ".join(f"*{label}*: {meaning}" for label, meaning in LABELS.items() if label in used)
    intro = "What each model predicts outside its training cells, as its record states and `benchmarks.check` tests."
    return f"{intro} {legend}.\n\n{markdown_table(rows, left=len(rows[0]))}"


SECTION = Section("Models", 20, write, per_task=False)
