"""What the page says of the metrics themselves: calibration, rank recovery, and what a shared control is worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from reports.formatting import interval, markdown_table, number
from reports.stats.quality import MIXTURES
from reports.task_labels import HEADLINE

_WEAK = 0.5
"""Below this share of conditions the ceiling does not beat the baseline on most of them."""
_MARKS = {
    "¹": "uninformative here: the ceiling is not better than the baseline beyond the bootstrap error, so no ranks and no "
    "scaled values",
    "²": "on less than half of the conditions is the ceiling better than the baseline",
    "³": "does not put planted predictors of known quality in order (an interval of τ reaches 0)",
}
_INFLATED = 0.1


def mark_metrics(quality: pd.DataFrame, scored: list[str]) -> dict[str, str]:
    """Return the marks of each scored metric of a task that is to be read with care: metric → " ¹²³"."""
    marks = {}
    for row in quality[quality["metric"].isin(scored)].itertuples():
        blunt, weak, blind = row.informative is False, row.share < _WEAK, row.orders is False
        text = "".join(mark for mark, holds in zip(_MARKS, (blunt, weak, blind), strict=True) if holds)
        if text:
            marks[row.metric] = f" {text}"
    return marks


def explain_marks(marks: Mapping[str, str]) -> list[str]:
    """Explain the marks that occur, and name the metrics that bear them."""
    lines = []
    for mark, meaning in _MARKS.items():
        bearers = [metric for metric, text in marks.items() if mark in text]
        if bearers:
            lines.append(f"{mark} {meaning}: {', '.join(bearers)}.")
    return lines


def calibration_table(quality: pd.DataFrame, scored: list[str], places: Mapping[str, int]) -> str:
    """Write ceiling, baseline and rank recovery of a task's scored metrics; "" where none of it was measured."""
    rows = quality[quality["metric"].isin(scored)]
    taus = [f"tau_{mixture}" for mixture in MIXTURES]
    if rows.empty or rows[["ceiling_mean", *taus]].isna().all(axis=None):
        return ""
    baseline = next((name for name in rows["baseline"] if isinstance(name, str)), "baseline")
    header = ["metric", baseline, "ceiling", "ceiling better by", "on", "full depth"]
    lines = []
    for _, row in rows.iterrows():
        digits = places.get(row["metric"], 3)
        lines.append(
            [
                row["metric"],
                _number(row["baseline_mean"], digits),
                _number(row["ceiling_mean"], digits),
                _number(row["gain"], digits) + interval(row["gain_low"], row["gain_high"], digits),
                "–" if pd.isna(row["share"]) else f"{100 * row['share']:.0f} %",
                _number(row["ceiling_full_depth"], 2),
                *(_number(row[tau], 2) + interval(row[f"{tau}_low"], row[f"{tau}_high"], 2) for tau in taus),
            ]
        )
    words = [f"τ {mixture.replace('_', ' ')}" for mixture in MIXTURES]
    return markdown_table([*header, *words], lines, left=1)


def shared_table(quality: pd.DataFrame) -> str:
    """Write what a shared control does to every metric that has both forms; "" where none has."""
    rows = quality[quality["shared"].notna()]
    if rows.empty:
        return ""
    columns = {"other_controls": "other_controls", "baseline": "baseline_mean", "ceiling": "ceiling_mean"}
    header = ["metric", *(f"{who.replace('_', ' ')}, {how}" for who in columns for how in ("disjoint", "shared"))]
    lines = []
    for _, row in rows.iterrows():
        values = [value for who, column in columns.items() for value in (row[column], row[f"{who}_shared"])]
        lines.append([row["metric"], *(_number(value, 2) for value in values)])
    return markdown_table(header, lines, left=1)


def shared_sentence(quality: pd.DataFrame) -> str:
    """Say in words what other control cells, the baseline and the ceiling score with and without a shared control."""
    rows = quality[(quality["metric"] == HEADLINE) & quality["shared"].notna()]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    facts = (
        ("other control cells, which know nothing of any perturbation, score", "other_controls", "other_controls"),
        (f"`{row['baseline']}` scores", "baseline_mean", "baseline"),
        ("the ceiling", "ceiling_mean", "ceiling"),
    )
    parts = [
        f"{who} {number(row[f'{shared}_shared'], 2)} in {row['shared']} and {number(row[disjoint], 2)} with disjoint controls"
        for who, disjoint, shared in facts
        if pd.notna(row[disjoint]) and pd.notna(row[f"{shared}_shared"])
    ]
    if not parts:
        return ""
    text = "; ".join(parts)
    inflation = row["other_controls_shared"] - row["other_controls"]
    if inflation > _INFLATED:
        text += f": sharing the control is worth {number(inflation, 2)} to who predicts nothing at all"
    elif not np.isnan(inflation):
        text += ": sharing the control is worth little here"
    return text[0].upper() + text[1:] + "."


def _number(value: float, places: int) -> str:
    return "–" if value is None or pd.isna(value) else number(value, places)
