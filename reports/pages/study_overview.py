"""The study's models over all tasks: one table for each metric and direction."""

from __future__ import annotations

import pandas as pd

from reports.formatting import markdown_table, with_interval
from reports.stats.study_summary import BASELINE, CEILING, KINDS, METRICS, kind_of, short_name
from reports.task_labels import BRACKETS, tasks

_SHOWN = METRICS[:2]
"""Metrics without a unit, which tasks on different data may show side by side."""
_PLACES = 3
"""Decimals of all cells."""
_NOTHING = "–"
_DIRECTIONS = {"n2p": "control → perturbed", "p2n": "perturbed → control"}


def overview(table: pd.DataFrame) -> list[str]:
    """Lay out `summarise_seeds`'s table as Markdown, a line per model and a column per task.

    Returns
    -------
    list of str
        Titles and tables in turn: for each direction the metrics without a unit, and the gain over the mean effect in
        the first of them. A dash marks a model that declined or failed, an empty cell one that was not run.
    """
    blocks: list[str] = []
    for direction, part in table.groupby("direction", sort=True):
        for metric in _SHOWN:
            rows = part[part["metric"] == metric]
            if rows["mean"].notna().any():
                blocks += [f"`{metric}`, {_DIRECTIONS.get(str(direction), direction)}:", _lay_out(rows, str(direction))]
            if metric == _SHOWN[0] and rows["gain"].notna().any():
                blocks += [f"The same, as paired difference to `{BASELINE}`:", _lay_out(rows, str(direction), "gain_")]
    return blocks


def _lay_out(rows: pd.DataFrame, direction: str, prefix: str = "") -> str:
    """Write one table of means, or with `prefix` "gain_" of gains."""
    questions = list(tasks(rows.assign(audit="")))
    lines = []
    for model in _ordered(rows, direction):
        cells = [_cell(own[own["model"] == model], model, prefix) for _, own in questions]
        if any(cell not in ("", _NOTHING) for cell in cells):
            name = short_name(model, direction)
            lines.append([f"*{name}*" if model == CEILING else f"`{name}`", *cells])
    header = [
        f"{task.suite}{' (simulated)' if task.source == 'simulated' else ''}, {task.protocol.replace('_', ' ')}"
        for task, _ in questions
    ]
    return markdown_table(["model", *header], lines, left=1)


def _cell(own: pd.DataFrame, model: str, prefix: str) -> str:
    if own.empty:
        return ""
    row = own.iloc[0]
    mean = row["gain" if prefix else "mean"]
    if pd.isna(row["mean"]):
        return _NOTHING
    if pd.isna(mean) or (prefix and model == BASELINE):
        return ""
    return with_interval(mean, row[f"{prefix}low"], row[f"{prefix}high"], _PLACES)


def _ordered(rows: pd.DataFrame, direction: str) -> list[str]:
    """Variants, ablations, others by name, then trivial baselines, and the ceiling."""

    def place(model: str) -> tuple[bool, bool, int, str]:
        return model == CEILING, model in BRACKETS, KINDS.index(kind_of(short_name(model, direction))), model

    return sorted(rows["model"].unique(), key=place)
