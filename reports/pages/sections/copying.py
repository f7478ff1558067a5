"""Scores of a copy of the input, and the models below trivial baselines."""

from __future__ import annotations

import numpy as np

from reports.formatting import number
from reports.pages.page_sections import Section, TaskData
from reports.pages.trivial_baselines import sentences_below_trivial
from reports.task_labels import HEADLINE

_INFLATED = 0.1
"""Difference of two scores from which a shared control is said to raise them."""


def write(data: TaskData) -> str:
    """Write what the input itself scores, what sharing the control adds, and which models are below a baseline."""
    below = [f"{text[0].upper()}{text[1:]}." for text in sentences_below_trivial(data.board)]
    return "\n\n".join([" ".join(filter(None, (_copy(data), _shared(data)))), *below]).strip()


def _copy(data: TaskData) -> str:
    copies = data.suite[data.suite["model"] == "no_change"].set_index("metric")["mean"].dropna()
    if "r2_pearson" not in copies:
        return ""
    what = "the control" if data.task.direction == "n2p" else "the input"
    text = (
        f"Copying {what} (`no_change`) scores {number(copies['r2_pearson'], data.places['r2_pearson'])} in r2_pearson"
    )
    if HEADLINE in copies:
        text += f", and {number(copies[HEADLINE], data.places[HEADLINE])} in {HEADLINE}"
    return text + ": a high r2_pearson alone is no evidence of a predicted effect."


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
