"""The figures of the audits: slopes between protocols, answers in both directions, scores by method of integration."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from reports.colours import model_colours
from reports.figures import style
from reports.formatting import file_name, number
from reports.stats.audits import TASK
from reports.tables import GROUP
from reports.task_labels import Task

_SHOWN = ("pearson_delta", "r2_pearson")


def draw_protocols(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw a slope figure per direction: every model under the honest and under the leaky protocol."""
    paths = []
    for (suite, dataset, source, direction), own in _models(table).groupby(list(TASK), sort=True):
        protocol = str(own["honest_protocol"].iloc[0])
        metrics = [metric for metric in _SHOWN if metric in set(own["metric"])]
        figure, panels = style.row_of_panels(len(metrics), 5.2)
        colours = model_colours(own["model"])
        for axes, metric in zip(panels, metrics, strict=True):
            _draw_slopes(axes, own[own["metric"] == metric], colours)
            axes.set_xticks([0, 1], [f"{protocol}\n(held out)", "resampled\n(LEAKY: trained on)"])
            axes.set_title(f"{metric} (no unit)", loc="left")
        task = Task(suite, dataset, source, protocol, direction)
        style.finish(figure, "How much of a score is leakage? The same models and conditions", task)
        paths += style.save(figure, folder / file_name(f"protocols-{suite}-{direction}"), svg=False)
    return paths


def _models(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of models and of the split half."""
    return table[(table["kind"] == "model") | (table["model"] == "split_half")]


def _draw_slopes(axes: Axes, rows: pd.DataFrame, colours: dict[str, str]) -> None:
    values = rows[["honest", "leaky"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = max(high - low, 1e-3)
    rows = rows.sort_values("leaky")
    gaps = 0.05 * room * np.arange(len(rows))
    places = isotonic_regression(rows["leaky"] - gaps).x + gaps  # as near as labels may lie to each other
    for row, place in zip(rows.itertuples(), places, strict=True):
        colour, half = colours[row.model], row.model == "split_half"
        look: dict[str, Any] = {"color": colour, "linestyle": "--" if half else "-", "linewidth": 1.6}
        axes.plot([0, 1], [row.honest, row.leaky], marker="o", markersize=4.5, **look)
        axes.plot([1.02, 1.07], [row.leaky, place], color=style.GREY, linewidth=0.5, clip_on=False)
        text: dict[str, Any] = {
            "color": colour,
            "style": "italic" if half else "normal",
            "fontsize": 8,
            "va": "center",
        }
        axes.text(1.08, place, f"{row.model} {number(row.leaky, 2)}", **text)
    if low <= 0:
        axes.plot([-0.12, 1.0], [0, 0], color=style.GREY, linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.12, 1.95), ylim=(low - 0.06 * room, high + 0.06 * room))


def draw_directions(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw pearson_delta of every model's p2n answer, and of its n2p change handed in as one."""
    paths = []
    for key, own in table.groupby(list(GROUP), sort=True):
        suite, dataset, source, protocol, direction = map(str, key)
        task = Task(suite, dataset, source, protocol, direction)
        best = own[own["answer"] == "p2n"].set_index("model")["pearson_delta"]
        names = sorted(set(own["model"]), key=lambda name: (-best.get(name, -np.inf), name))
        figure = style.new_figure(1.9 + 0.32 * len(names))
        axes = figure.subplots()
        axes.axvline(0, color=style.GREY, linewidth=0.9)
        for answer, colour, marker, shift, label in (
            ("p2n", "#0173b2", "o", -0.13, "answer to what was asked (p2n)"),
            ("n2p", "#d55e00", "D", 0.13, "its n2p change, handed in as p2n"),
        ):
            rows = own[own["answer"] == answer].assign(mean=own["pearson_delta"])
            style.draw_intervals(axes, rows, names, dict.fromkeys(names, colour), shift=shift, marker=marker)
            axes.plot([], [], marker, color=colour, label=label)
        style.label_lines(axes, [f"{n} (reference)" if n == "planted" else n for n in names])
        axes.set_xlabel("pearson_delta (no unit); below 0: moves the wrong way")
        title = "Is an answer in the wrong direction caught? Mean and 95 % interval"
        style.finish(figure, title, task, axes, ncols=2)
        paths += style.save(figure, folder / file_name(f"direction-{task.suite}"), svg=False)
    return paths


def draw_integrations(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw scores by method, a panel per metric, a line per model, the split half dashed."""
    paths = []
    for (suite, direction), own in table.groupby(["suite", "direction"], sort=True):
        left = own.drop_duplicates("method").set_index("method")["effect_left"]
        words = [f"{m.replace('_', ' ')}\neffect left: {100 * share:.0f} %" for m, share in left.items()]
        shown = _models(own)
        colours = model_colours(shown["model"])
        figure, panels = style.row_of_panels(len(_SHOWN), 4.8)
        for axes, metric in zip(panels, _SHOWN, strict=True):
            means = shown[shown["metric"] == metric].pivot(index="method", columns="model", values="mean")
            for (model, values), marker in zip(means.reindex(left.index).items(), cycle(style.MARKERS), strict=False):
                line, label = ("--", "split_half (reference)") if model == "split_half" else ("-", model)
                look: dict[str, Any] = {"marker": marker, "color": colours[model], "markersize": 5, "linewidth": 1.4}
                axes.plot(values.to_numpy(), line, label=label, **look)
            if (means.min() <= 0).any():
                axes.axhline(0, color=style.GREY, linewidth=0.8)
            axes.set_xticks(range(len(left)), words, fontsize=8.5)
            axes.set_xlim(-0.3, len(left) - 0.7)
            axes.set_title(f"{metric} (no unit)", loc="left")
        task = Task(*own.iloc[0][list(GROUP)].astype(str))
        title = "Scores without integration, with technical and with per-condition ComBat"
        style.finish(figure, title, task, panels[0], ncols=4, fontsize=8.5)
        paths += style.save(figure, folder / file_name(f"integration-{suite}-{direction}"), svg=False)
    return paths
