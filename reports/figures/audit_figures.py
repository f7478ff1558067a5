"""The figures of the audits: slopes between protocols, answers in both directions, scores by method of integration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.figures.style import (
    GREY,
    REFERENCE,
    draw_mean,
    label_lines,
    legend_below,
    model_colours,
    new_figure,
    save,
    set_title,
)
from reports.formatting import number
from reports.stats.audits import TASK
from reports.tables import GROUP
from reports.task_labels import Task

_SHOWN = ("pearson_delta", "r2_pearson")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
_APART = 0.045
"""Least distance of two labels, as a share of the axis."""


def draw_protocols(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw a slope figure per direction: every model under the honest and under the leaky protocol."""
    paths = []
    for key, own in table.groupby(list(TASK), sort=True):
        suite, dataset, source, direction = map(str, key)
        protocol = str(own["honest_protocol"].iloc[0])
        own = own[(own["kind"] == "model") | (own["model"] == "ceiling")]
        metrics = [metric for metric in _SHOWN if metric in set(own["metric"])]
        figure = new_figure(5.2)
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        colours = model_colours(own.loc[own["kind"] == "model", "model"])
        for axes, metric in zip(panels, metrics, strict=True):
            _draw_slopes(axes, own[own["metric"] == metric], colours)
            axes.set_xticks([0, 1], [f"{protocol}\n(held out)", "resampled\n(LEAKY: trained on)"])
            axes.set_title(f"{metric} (no unit)", loc="left")
        set_title(
            figure,
            "How much of a score is leakage? The same models and conditions",
            Task(suite, dataset, source, protocol, direction),
        )
        paths += save(figure, folder / f"protocols-{suite}-{direction}", svg=False)
    return paths


def _draw_slopes(axes: Axes, rows: pd.DataFrame, colours: dict[str, str]) -> None:
    ends = rows["leaky"].to_numpy(dtype=float)
    for _, row in rows.iterrows():
        reference = row["kind"] == "reference"
        colour = REFERENCE if reference else colours[row["model"]]
        style = "--" if reference else "-"
        axes.plot([0, 1], [row["honest"], row["leaky"]], style, color=colour, marker="o", markersize=4.5, linewidth=1.6)
    values = rows[["honest", "leaky"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = max(high - low, 1e-3)
    for place, at in zip(np.argsort(ends), _spread(np.sort(ends), _APART * room * 1.12), strict=True):
        row = rows.iloc[int(place)]
        reference = row["kind"] == "reference"
        axes.plot([1.02, 1.07], [row["leaky"], at], color=GREY, linewidth=0.5, clip_on=False)
        axes.text(
            1.08,
            at,
            f"{row['model']} {number(row['leaky'], 2)}",
            fontsize=8,
            va="center",
            color=REFERENCE if reference else colours[row["model"]],
            style="italic" if reference else "normal",
        )
    if low <= 0:
        axes.plot([-0.12, 1.0], [0, 0], color=GREY, linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.12, 1.95), ylim=(low - 0.06 * room, high + 0.06 * room))


def _spread(values: np.ndarray, apart: float) -> np.ndarray:
    """Move sorted values so that neighbours are at least `apart` from each other, about their own middle."""
    placed = values.astype(float).copy()
    for _ in range(200):
        gaps = np.diff(placed)
        close = np.flatnonzero(gaps < apart - 1e-12)
        if not len(close):
            break
        for place in close:
            push = (apart - (placed[place + 1] - placed[place])) / 2
            if push > 0:
                placed[place] -= push
                placed[place + 1] += push
    return placed


def draw_directions(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw pearson_delta of every model's p2n answer, and of its n2p change handed in as one."""
    paths = []
    for key, own in table.groupby(list(GROUP), sort=True):
        task = Task(*map(str, key))
        best = own[own["answer"] == "p2n"].set_index("model")["pearson_delta"]
        names = sorted(set(own["model"]), key=lambda name: (-best.get(name, -np.inf), name))
        figure = new_figure(1.9 + 0.32 * len(names))
        axes = figure.subplots()
        axes.axvline(0, color=GREY, linewidth=0.9)
        for answer, colour, marker, label in (
            ("p2n", "#0173b2", "o", "answer to what was asked (p2n)"),
            ("n2p", "#d55e00", "D", "its n2p change, handed in as p2n"),
        ):
            rows = own[own["answer"] == answer]
            shift = -0.13 if answer == "p2n" else 0.13
            for place, name in enumerate(names):
                for row in rows[rows["model"] == name].itertuples():
                    draw_mean(axes, place + shift, (row.pearson_delta, row.low, row.high), colour, marker=marker)
            axes.plot([], [], marker, color=colour, label=label)
        label_lines(axes, [f"{n} (reference)" if n == "planted" else n for n in names])
        axes.grid(axis="y", color="#e6e6e6")
        axes.set_xlabel("pearson_delta (no unit); below 0: moves the wrong way")
        legend_below(figure, axes, ncols=2)
        set_title(figure, "Is an answer in the wrong direction caught? Mean and 95 % interval", task)
        paths += save(figure, folder / f"direction-{task.suite}", svg=False)
    return paths


def draw_integrations(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw scores by method, a panel per metric, a line per model, the ceiling dashed."""
    paths = []
    for (suite, direction), own in table.groupby(["suite", "direction"], sort=True):
        first = own.iloc[0]
        task = Task(*(str(first[column]) for column in GROUP))
        methods = list(dict.fromkeys(own["method"]))
        left = own.drop_duplicates("method").set_index("method")["effect_left"]
        shown = own[(own["kind"] == "model") | (own["model"] == "ceiling")]
        colours = model_colours(shown.loc[shown["kind"] == "model", "model"])
        figure = new_figure(4.8)
        panels = figure.subplots(1, len(_SHOWN), squeeze=False)[0]
        for axes, metric in zip(panels, _SHOWN, strict=True):
            _draw_methods(axes, shown[shown["metric"] == metric], methods, colours)
            words = [f"{m.replace('_', ' ')}\neffect left: {100 * left[m]:.0f} %" for m in methods]
            axes.set_xticks(range(len(methods)), words, fontsize=8.5)
            axes.set_title(f"{metric} (no unit)", loc="left")
        legend_below(figure, panels[0], ncols=4, fontsize=8.5)
        set_title(figure, "Scores without integration, with technical and with per-condition ComBat", task)
        paths += save(figure, folder / f"integration-{suite}-{direction}", svg=False)
    return paths


def _draw_methods(axes: Axes, rows: pd.DataFrame, methods: list[str], colours: dict[str, str]) -> None:
    for place, model in enumerate(sorted(set(rows["model"]))):
        own = rows[rows["model"] == model].set_index("method").reindex(methods)
        reference = model == "ceiling"
        axes.plot(
            range(len(methods)),
            own["mean"],
            "--" if reference else "-",
            marker=_MARKERS[place % len(_MARKERS)],
            color=REFERENCE if reference else colours[model],
            markersize=5,
            linewidth=1.4,
            label=f"{model} (reference)" if reference else model,
        )
    if rows["mean"].min() <= 0:
        axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xlim(-0.3, len(methods) - 0.7)
