"""The study's page: an overview over all tasks, and a table per task."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reports.figures.study_figures import draw_study
from reports.formatting import decimals, markdown_table, picture, save_page, save_table, shorten, with_interval
from reports.pages.study_overview import overview
from reports.stats.study_summary import BASELINE, CEILING, METRICS, short_name
from reports.task_labels import tasks

_NOTE = """\
Means over contexts of means over conditions of means over seeds; in brackets the 95 % interval of a bootstrap that draws
contexts, conditions within them, and seeds. "gain" is the paired difference to `train_mean` in pearson_delta, positive
where the model is better. The ceiling is one half of a condition's cells given as the prediction of the other half. A dash
marks a model that declined or failed (the task's own table has the reason), an empty cell one that was not run."""


def write_study(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write study.csv, study.md and one figure for each protocol and direction.

    Parameters
    ----------
    table
        What `study_summary.summarise_seeds` returned, of all tasks.
    out
        Folder, made if it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    csv, figures = save_table(table, out / "study.csv"), draw_study(table, out)
    blocks = ["# Study", _NOTE, *(picture(path, out) for path in figures), *overview(table)]
    for task, rows in tasks(table.assign(audit="")):
        blocks += [f"## {task.suite}: {task.title}", *task.warnings, _markdown(rows)]
    return [csv, save_page(blocks, out / "study.md"), *figures]


def _markdown(rows: pd.DataFrame) -> str:
    """Write a line per model, best pearson_delta first, the ceiling last."""
    places = {metric: decimals(rows.loc[rows["metric"] == metric, "mean"]) for metric in METRICS}
    direction = str(rows["direction"].iloc[0])
    lines = []
    for model in _ordered(rows):
        own = rows[rows["model"] == model].set_index("metric")
        first = own.loc[METRICS[0]]
        if pd.isna(first["mean"]):
            lines.append(
                [short_name(model, direction), shorten(f"{first['status']}: {first['reason']}", 90), *[""] * 4]
            )
            continue
        cells = [with_interval(own.loc[m, "mean"], own.loc[m, "low"], own.loc[m, "high"], places[m]) for m in METRICS]
        gain = ""
        if pd.notna(first["gain"]) and model != BASELINE:
            gain = with_interval(first["gain"], first["gain_low"], first["gain_high"], places[METRICS[0]])
        seeds = "" if pd.isna(first["n_seeds"]) else f"{first['n_seeds']:.0f}"
        lines.append([short_name(model, direction), cells[0], gain, cells[1], cells[2], seeds])
    header = ("model", METRICS[0], "gain", METRICS[1], METRICS[2], "seeds")
    conditions = int(rows["n_conditions"].max())
    return f"{conditions} conditions.\n\n" + markdown_table(header, lines, left=1)


def _ordered(rows: pd.DataFrame) -> list[str]:
    """Models by falling pearson_delta, those without a value next, the ceiling last."""
    own = rows[rows["metric"] == METRICS[0]]
    own = own.assign(last=own["model"] == CEILING, lost=own["mean"].isna(), falling=-own["mean"])
    return list(own.sort_values(["last", "lost", "falling", "model"])["model"])
