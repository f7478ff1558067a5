"""Which models lie below a floor: below a copy of the input, or below the change of the perturbed gene alone."""

from __future__ import annotations

import pandas as pd

from reports.formatting import number
from reports.task_labels import HEADLINE, ordered_models

PROFILE = "r2_pearson"
"""Metric in which copying the input scores high: what models must beat it in."""
PLACES = 3


def floor_sentences(board: pd.DataFrame) -> list[str]:
    """Name the models that a floor beats; none for a floor that was not run or beats nobody.

    Parameters
    ----------
    board
        One task's rows of the leaderboard.

    Returns
    -------
    list
        Sentences without subject of the task: "copying the input (r2_pearson 0.974) beats gears, linear in that metric".
    """
    found = []
    for floor, metric, what in (
        ("no_change", PROFILE, "copying the input"),
        ("own_gene", HEADLINE, "the perturbed gene alone, every other gene left as it is,"),
    ):
        rows = ordered_models(board, metric).set_index("model")
        models = rows[(rows["kind"] == "model") & rows["mean"].notna()]
        if floor not in models.index:
            continue
        below = sorted(models.index[models["mean"] < models.loc[floor, "mean"]].drop("no_change", errors="ignore"))
        if below:
            score = number(models.loc[floor, "mean"], PLACES)
            found.append(f"{what} ({metric} {score}) beats {', '.join(below)} in that metric")
    return found
