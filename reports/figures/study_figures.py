"""The figures of the study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from reports.figures.style import GREY, REFERENCE, draw_mean, label_lines, legend_below, new_figure, save, settings
from reports.stats.study_summary import CEILING, METRICS, kind_of, short_name
from reports.task_labels import Task, tasks

_KINDS = {
    "cycseq_plus": ("#0173b2", "CycSeq plus"),
    "cycseq": ("#d55e00", "CycSeq, the paper's recipe"),
    "ablation": ("#ecb88a", "the recipe without one part"),
    "other": ("#5c5c5c", "other models"),
}
"""Kind of model → colour-blind-safe colour and legend."""


def draw_study(table: pd.DataFrame, out: Path) -> list[Path]:
    """Draw a figure per protocol and direction, a panel per task; returns the paths."""
    shown = table[table["metric"] == METRICS[0]]
    paths: list[Path] = []
    for (protocol, direction), rows in shown.groupby(["protocol", "direction"], sort=True):
        groups = list(tasks(rows.assign(audit="")))
        longest = max((own["mean"].notna() & (own["model"] != CEILING)).sum() for _, own in groups)
        with settings():
            figure = new_figure(1.5 + 0.24 * longest * len(groups))
            panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
            for axes, (task, own) in zip(panels, groups, strict=True):
                _draw_models(axes, task, own)
            panels[-1].set_xlabel("pearson_delta (correlation of true and predicted change, no unit)")
            for colour, label in _KINDS.values():
                panels[0].plot([], [], "o", color=colour, label=label)
            panels[0].plot([], [], color=REFERENCE, linestyle="--", label="ceiling")
            legend_below(figure, panels[0], ncols=3)
            figure.suptitle(f"{protocol}, {direction}: mean and 95 % interval", fontsize=11, x=0.01, ha="left")
            paths += save(figure, out / f"study-{protocol}-{direction}", svg=False)
    return paths


def _draw_models(axes: Axes, task: Task, rows: pd.DataFrame) -> None:
    models = rows[(rows["model"] != CEILING) & rows["mean"].notna()].sort_values("mean", ascending=False)
    names = [short_name(model, task.direction) for model in models["model"]]
    for place, (name, row) in enumerate(zip(names, models.itertuples(), strict=True)):
        draw_mean(axes, place, (row.mean, row.low, row.high), _KINDS[kind_of(name)][0], linewidth=2.2)
    for mean in rows.loc[rows["model"] == CEILING, "mean"].dropna():
        axes.axvline(mean, color=REFERENCE, linestyle="--", linewidth=1.3)
    axes.axvline(0, color=GREY, linewidth=0.8)
    label_lines(axes, names, fontsize=9)
    axes.grid(axis="y", color="#e6e6e6")
    title = f"{task.suite}: {task.dataset}" + (", SIMULATED" if task.source == "simulated" else "")
    axes.set_title(title, loc="left")
