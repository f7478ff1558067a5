"""Models that score below a trivial prediction: a copy of the input, or the change of the perturbed gene alone."""

from __future__ import annotations

import pandas as pd

from reports.formatting import number
from reports.task_labels import HEADLINE, ordered_models

_TRIVIAL = (
    ("no_change", "r2_pearson", "copying the input"),
    ("own_gene", HEADLINE, "changing the perturbed gene alone"),
)


def sentences_below_trivial(board: pd.DataFrame) -> list[str]:
    """List, for each trivial prediction that was run, the models with a lower mean; none where there is no such model.

    `board` holds one task's rows of the leaderboard.
    """
    found = []
    for trivial, metric, what in _TRIVIAL:
        rows = ordered_models(board, metric).set_index("model")
        means = rows.loc[(rows["kind"] == "model") & rows["mean"].notna(), "mean"]
        if trivial in means:
            below = sorted(means.index[means < means[trivial]].drop("no_change", errors="ignore"))
            if below:
                found.append(f"{what} ({metric} {number(means[trivial], 3)}) scores higher than {', '.join(below)}")
    return found
