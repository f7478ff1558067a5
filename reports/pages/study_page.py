"""The study as a page and as figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.figures.style import GREY, REFERENCE, new_figure, save, settings
from reports.formatting import decimals, interval, markdown_table, number, shorten
from reports.pages.study_overview import kind_of, overview, short_name
from reports.stats.study_summary import BASELINE, CEILING, METRICS
from reports.task_labels import Task, tasks

_NOTE = """\
Means over contexts of means over conditions of means over seeds; in brackets the 95 % interval of a bootstrap that draws
contexts, conditions within them, and seeds. "gain" is the paired difference to `train_mean` in pearson_delta, positive
where the model is better. The ceiling is one half of a condition's cells given as the prediction of the other half. A dash
says that a model declined or failed (the question's own table has the reason), an empty cell that it was not run."""
_COLOURS = {"cycseq_plus": "#0173b2", "cycseq": "#d55e00", "ablation": "#ecb88a", "other": "#5c5c5c"}
"""Colour-blind-safe: blue, vermilion, its lighter shade, grey."""
_WORDS = {
    "cycseq_plus": "CycSeq plus",
    "cycseq": "CycSeq, the paper's recipe",
    "ablation": "the recipe, one part left out",
    "other": "other models",
}


def write_study(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write study.csv, study.md and one figure for each protocol and direction.

    Parameters
    ----------
    table
        What `study.summarise_seeds` returned, of all tasks.
    out
        Folder, made if it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "study.csv", index=False, float_format="%.6g")
    figures = _draw(table, out)
    blocks = ["# Study", _NOTE]
    blocks += [f"![{path.stem}]({path.name})" for path in figures]
    blocks += overview(table)
    for task, rows in tasks(table.assign(audit="")):
        blocks += [f"## {task.suite}: {task.title}", *task.warnings, _markdown(rows)]
    (out / "study.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return [out / "study.csv", out / "study.md", *figures]


def _markdown(rows: pd.DataFrame) -> str:
    """One line a model, best pearson_delta first, the ceiling last."""
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
        cells = [
            number(own.loc[m, "mean"], places[m]) + interval(own.loc[m, "low"], own.loc[m, "high"], places[m])
            for m in METRICS
        ]
        gain = "" if pd.isna(first["gain"]) or model == BASELINE else number(first["gain"], places[METRICS[0]])
        gain += interval(first["gain_low"], first["gain_high"], places[METRICS[0]]) if gain else ""
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


def _draw(table: pd.DataFrame, out: Path) -> list[Path]:
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
            for kind, colour in _COLOURS.items():
                panels[0].plot([], [], "o", color=colour, label=_WORDS[kind])
            panels[0].plot([], [], color=REFERENCE, linestyle="--", label="ceiling")
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
            figure.suptitle(f"{protocol}, {direction}: mean and 95 % interval", fontsize=11, x=0.01, ha="left")
            paths += save(figure, out / f"study-{protocol}-{direction}", svg=False)
    return paths


def _draw_models(axes: Axes, task: Task, rows: pd.DataFrame) -> None:
    models = rows[(rows["model"] != CEILING) & rows["mean"].notna()].sort_values("mean", ascending=False)
    names = [short_name(model, task.direction) for model in models["model"]]
    for place, (name, mean, low, high) in enumerate(
        zip(names, models["mean"], models["low"], models["high"], strict=True)
    ):
        colour = _COLOURS[kind_of(name)]
        if np.isfinite(low):
            axes.plot([low, high], [place, place], color=colour, linewidth=2.2)
        axes.plot(mean, place, "o", color=colour, markersize=6)
    for mean in rows.loc[rows["model"] == CEILING, "mean"].dropna():
        axes.axvline(mean, color=REFERENCE, linestyle="--", linewidth=1.3)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", color="#e6e6e6")
    words = f"{task.suite}: {task.dataset}" + (", SIMULATED" if task.source == "simulated" else "")
    axes.set_title(words, loc="left")
