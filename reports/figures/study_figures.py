"""The figures of the study."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
from matplotlib.lines import Line2D

from reports.figures import style
from reports.formatting import file_name
from reports.stats.study_summary import METRICS, SPLIT_HALF, short_name
from reports.task_labels import tasks


@style.settings()
def draw_study(table: pd.DataFrame, out: Path) -> list[Path]:
    """Draw a figure per protocol and direction, a panel per task; returns the paths."""
    shown = table[(table["metric"] == METRICS[0]) & table["mean"].notna()].sort_values("mean", ascending=False)
    looks = style.model_looks(
        short_name(model, way) for model, way in zip(shown["model"], shown["direction"], strict=True)
    )
    paths: list[Path] = []
    for (protocol, direction), rows in shown.groupby(["protocol", "direction"], sort=True):
        rows = rows.assign(audit="", model=[short_name(model, direction) for model in rows["model"]])
        groups = list(tasks(rows))
        longest = max((own["model"] != SPLIT_HALF).sum() for _, own in groups)
        figure = style.new_figure(1.6 + 0.24 * longest * len(groups))
        panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
        for axes, (task, own) in zip(panels, groups, strict=True):
            names = [model for model in own["model"] if model != SPLIT_HALF]
            style.draw_intervals(axes, own, names, looks)
            for mean in own.loc[own["model"] == SPLIT_HALF, "mean"]:
                axes.axvline(mean, color=style.REFERENCE, linestyle="--", linewidth=1.3)
            axes.axvline(0, color=style.GREY, linewidth=0.8)
            style.label_lines(axes, names, fontsize=9)
            axes.set_title(f"{task.suite}: {task.dataset}" + ", SIMULATED" * (task.source == "simulated"), loc="left")
        panels[-1].set_xlabel("pearson_delta (correlation of true and predicted change, no unit)")
        cycseq = style.model_looks(["cycseq"])["cycseq"]
        marks = [
            Line2D([], [], label="orange hues: CycSeq, its forms and ablations", **cycseq.points()),
            Line2D([], [], color=style.REFERENCE, linestyle="--", label="split_half (reference)"),
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=2, fontsize=9)
        first = Counter(own.loc[own["model"] != SPLIT_HALF, "model"].iloc[0] for _, own in groups).most_common(1)[0]
        finding = f"{first[0]} has the highest mean in {first[1]} of {len(groups)} tasks"
        what = f"{METRICS[0]}, {protocol}, {direction}: mean over seeds and 95 % interval"
        style.write_title(figure, [finding], [what])
        paths += style.save(figure, out / file_name(f"study-{protocol}-{direction}"), svg=False)
    return paths
