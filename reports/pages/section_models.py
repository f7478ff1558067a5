"""What the page says of the models themselves: what each is, and where its knowledge ends."""

from __future__ import annotations

import pandas as pd

from reports.formatting import markdown_table
from reports.tables import ABILITIES

WORDS = {
    "yes": "it has an answer of its own",
    "fallback": "it answers with something more general, such as the mean effect, and says so",
    "ignored": "its answer does not depend on it",
    "no": "it declines",
    "–": "not stated",
}
"""What the words of the table mean."""


def models_section(models: pd.DataFrame) -> list[str]:
    """List what each model of a run is and can do.

    Parameters
    ----------
    models
        One row per model (`tables.MODEL_COLUMNS`), may have no row.

    Returns
    -------
    list of str
        Paragraphs, a heading first; none without models.
    """
    if models.empty:
        return []
    rows = [
        [
            f"`{row['model']}`",
            row["directions"].replace(" ", ", "),
            *(row[ability] or "–" for ability in ABILITIES),
            " ".join(filter(None, (row["summary"], row["limits"]))),
            row["source"],
        ]
        for _, row in models.iterrows()
    ]
    used = {word for row in rows for word in row[2 : 2 + len(ABILITIES)]}
    legend = "; ".join(f"*{word}*: {meaning}" for word, meaning in WORDS.items() if word in used)
    header = ["model", "directions", *(ability.replace("_", " ") for ability in ABILITIES), "what it is", "source"]
    return [
        "## Models",
        f"What each answers where its training cells end, as its record states and `benchmarks.check` tests. {legend}.",
        markdown_table(header, rows, left=len(header)),
    ]
