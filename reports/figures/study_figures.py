"""The figures of the study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.lines import Line2D

from reports.colours import REFERENCE
from reports.figures import style
from reports.formatting import file_name
from reports.stats.study_summary import METRICS, SPLIT_HALF, kind_of, short_name
from reports.task_labels import tasks

_KINDS = {
    "cycseq_plus": ("#0173b2", "CycSeq plus"),
    "cycseq": ("#d55e00", "CycSeq, the paper's recipe"),
    "ablation": ("#ecb88a", "the recipe without one part"),
    "other": ("#5c5c5c", "other models"),
}
"""Kind of model → colour-blind-safe colour and legend."""


@style.settings()
def draw_study(table: pd.DataFrame, out: Path) -> list[Path]:
    """Draw a figure per protocol and direction, a panel per task; returns the paths."""
    shown = table[(table["metric"] == METRICS[0]) & table["mean"].notna()].sort_values("mean", ascending=False)
    paths: list[Path] = []
    for (protocol, direction), rows in shown.groupby(["protocol", "direction"], sort=True):
        rows = rows.assign(audit="", model=[short_name(model, direction) for model in rows["model"]])
        groups = list(tasks(rows))
        longest = max((own["model"] != SPLIT_HALF).sum() for _, own in groups)
        figure = style.new_figure(1.5 + 0.24 * longest * len(groups))
        panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
        for axes, (task, own) in zip(panels, groups, strict=True):
            names = [model for model in own["model"] if model != SPLIT_HALF]
            style.draw_intervals(axes, own, names, {name: _KINDS[kind_of(name)][0] for name in names})
            for mean in own.loc[own["model"] == SPLIT_HALF, "mean"]:
                axes.axvline(mean, color=REFERENCE, linestyle="--", linewidth=1.3)
            axes.axvline(0, color=style.GREY, linewidth=0.8)
            style.label_lines(axes, names, fontsize=9)
            axes.set_title(f"{task.suite}: {task.dataset}" + ", SIMULATED" * (task.source == "simulated"), loc="left")
        panels[-1].set_xlabel("pearson_delta (correlation of true and predicted change, no unit)")
        marks = [
            Line2D([], [], marker="o", linestyle="", color=colour, label=label) for colour, label in _KINDS.values()
        ]
        marks.append(Line2D([], [], color=REFERENCE, linestyle="--", label="split_half"))
        figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(f"{protocol}, {direction}: mean and 95 % interval", fontsize=11, x=0.01, ha="left")
        paths += style.save(figure, out / file_name(f"study-{protocol}-{direction}"), svg=False)
    return paths
