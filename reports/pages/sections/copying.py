"""Scores of a copy of the input, and the models that score below a trivial prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.formatting import number
from reports.pages.page_sections import Section, TaskData
from reports.task_labels import HEADLINE, ordered_models

_INFLATED = 0.1
"""Difference of two scores from which a shared control is said to raise them."""
_TRIVIAL = (
    ("no_change", "r2_pearson", "copying the input"),
    ("own_gene", HEADLINE, "changing the perturbed gene alone"),
)


def write(data: TaskData) -> str:
    """Write what the input itself scores, what sharing the control adds, and which models are below a baseline."""
    below = [f"{text[0].upper()}{text[1:]}." for text in sentences_below_trivial(data.board)]
    return "\n\n".join([" ".join(filter(None, (_copy(data), _shared(data)))), *below]).strip()


def sentences_below_trivial(board: pd.DataFrame) -> list[str]:
    """List, for each trivial prediction that was run, the models with a lower mean; none where there is no such model.

    `board` holds one task's rows of the leaderboard.
    """
    found = []
    for trivial, metric, what in _TRIVIAL:
        rows = ordered_models(board, metric).set_index("model")
        means = rows.loc[(rows["kind"] == "model") & rows["mean"].notna(), "mean"]
        below = sorted(means.index[means < means.get(trivial, np.nan)].drop("no_change", errors="ignore"))
        if below:
            found.append(f"{what} ({metric} {number(means[trivial], 3)}) scores higher than {', '.join(below)}")
    return found


def _copy(data: TaskData) -> str:
    copies = data.suite[data.suite["model"] == "no_change"].set_index("metric")["mean"].dropna()
    if "r2_pearson" not in copies:
        return ""
    scores = [f"{number(copies[m], data.places[m])} in {m}" for m in ("r2_pearson", HEADLINE) if m in copies]
    what = "the control" if data.task.direction == "n2p" else "the input"
    text = f"Copying {what} (`no_change`) scores {', and '.join(scores)}"
    return f"{text}: a high r2_pearson alone is no evidence of a predicted effect."


def _shared(data: TaskData) -> str:
    """Compare other control cells, the baseline and the ceiling with and without a shared control."""
    rows = data.quality[(data.quality["metric"] == HEADLINE) & data.quality["shared"].notna()]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    facts = (
        ("other control cells, without any perturbation, score", "other_controls", "other_controls"),
        (f"`{row['baseline']}` scores", "baseline_mean", "baseline"),
        ("the ceiling", "ceiling_mean", "ceiling"),
    )
    text = "; ".join(
        f"{what} {number(row[f'{shared}_shared'], 2)} in {row['shared']} and {number(row[disjoint], 2)} with disjoint controls"
        for what, disjoint, shared in facts
        if row[[disjoint, f"{shared}_shared"]].notna().all()
    )
    if not text:
        return ""
    inflation = row["other_controls_shared"] - row["other_controls"]
    if inflation > _INFLATED:
        text += f": a shared control raises the score of a prediction without any effect by {number(inflation, 2)}"
    elif not np.isnan(inflation):
        text += ": a shared control changes little here"
    return text[0].upper() + text[1:] + "."


SECTION = Section("", 30, write)
