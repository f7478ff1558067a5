"""How every figure looks: one colour per model, titles that carry the warnings, files that are the same twice."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter
from matplotlib.transforms import Bbox

from reports.task_labels import Task

WIDTH = 8.0
"""Inches; at 150 dots per inch and shown 900 pixels wide, 9 points are 14 pixels high."""
GREY = "#6b6b6b"
RULE = "#e6e6e6"
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1}
"""Box behind a text that lies on lines."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "*", "h")
_SETTINGS: Any = {
    "svg.hashsalt": "cycseq-bench",
    "text.parse_math": False,  # "$" in a name is no formula
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
_PLACES = [
    (size * x, size * y)
    for size in (8, 16, 26, 37, 50)
    for x, y in ((1, 0), (-1, 0), (0.7, 1), (0.7, -1), (-0.7, 1), (-0.7, -1), (0, 1.2), (0, -1.2))
]
"""Offsets of a label from its point, in points, those tried first at the front."""


@contextmanager
def settings() -> Iterator[None]:
    """Draw and save figures in this context, or in a function that it decorates; global settings are restored at its end."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")  # a name may have letters that the font lacks: they are boxes
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width, `height` inches high, drawn by Agg, outside the global state of pyplot."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def row_of_panels(n: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure and its n panels, side by side; options as of `Figure.subplots`."""
    figure = new_figure(height)
    return figure, figure.subplots(1, n, squeeze=False, **options)[0]


def grid_of_panels(n: int, base: float, row: float, xlabel: str, ylabel: str) -> tuple[Figure, np.ndarray]:
    """Return a figure of `base` inches plus `row` per row of panels, and its n panels, at most four in a row.

    They share both axes, labelled below the lowest panel of each column and beside the first of each row.
    """
    n_columns = min(4, n)
    n_rows = -(-n // n_columns)
    figure = new_figure(base + row * n_rows)
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for place, axes in enumerate(panels):
        axes.set_visible(place < n)
        if n - n_columns <= place < n:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(xlabel, fontsize=9)
        if place % n_columns == 0:
            axes.set_ylabel(ylabel, fontsize=9)
    return figure, panels[:n]


def label_lines(axes: Axes, names: Sequence[str], **style: Any) -> None:
    """Label the lines of a plot with a line per name, the first at the top."""
    axes.set_yticks(range(len(names)), names, **style)
    axes.set_ylim(len(names) - 0.5, -0.5)


def draw_intervals(
    axes: Axes,
    rows: pd.DataFrame,
    order: Sequence[str],
    colours: Mapping[str, str],
    marker: str = "o",
    shift: float = 0,
) -> None:
    """Draw `mean` of each row as a dot on the line of its `model`, a bar from `low` to `high` where there is an interval.

    Lines are numbered as in `order`, with a thin rule on each; `shift` moves dots and bars below it.
    """
    axes.grid(axis="y", color=RULE)
    for place, model in enumerate(order):
        at = place + shift
        for row in rows[rows["model"] == model].itertuples():
            if np.isfinite(row.low):
                axes.plot([row.low, row.high], [at, at], color=colours[model], linewidth=2.2)
            axes.plot(row.mean, at, marker, color=colours[model], markersize=6)


def draw_heatmap(
    axes: Axes, values: pd.DataFrame, texts: pd.DataFrame, bold: Any = False, fontsize: float = 8, **look: Any
) -> AxesImage:
    """Draw a table as coloured cells, with its column labels and a text in each cell, black or white by what is beneath.

    Parameters
    ----------
    values, texts, bold
        [row, column]; `bold` may be one for all.
    look
        As of `Axes.imshow`.
    """
    image = axes.imshow(values, aspect="auto", **look)
    weights = np.broadcast_to(np.where(bold, "bold", "normal"), values.shape)
    for (i, j), value in np.ndenumerate(values.to_numpy()):
        dark = np.isfinite(value) and np.dot(image.to_rgba(value)[:3], (0.299, 0.587, 0.114)) < 0.5
        font: dict[str, Any] = {"fontsize": fontsize, "fontweight": weights[i, j], "ha": "center", "va": "center"}
        axes.text(j, i, texts.iloc[i, j], color="white" if dark else "black", **font)
    axes.set_xticks(range(values.shape[1]), values.columns)
    return image


def finish(
    figure: Figure,
    what: str,
    task: Task,
    legend_of: Axes | None = None,
    *,
    ncols: int = 1,
    fontsize: float = 9,
    loc: Any = "outside lower center",
) -> Figure:
    """Write the title (what is shown, of which task, and the task's warnings) and the legend of one panel below all."""
    if legend_of is not None:
        figure.legend(*legend_of.get_legend_handles_labels(), loc=loc, ncols=ncols, fontsize=fontsize)
    lines = [what, task.title, *([" · ".join(task.warnings)] if task.warnings else [])]
    colour, weight = ("#a32100", "bold") if task.leak else ("black", "normal")
    figure.suptitle("\n".join(lines), fontsize=11, x=0.01, ha="left", fontweight=weight, color=colour)
    return figure


def save(figure: Figure, stem: Path, *, svg: bool) -> list[Path]:
    """Write `stem`.png (150 dots per inch) and, where asked, `stem`.svg, the same bytes each time; returns the paths."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatter):  # it writes formulas, which are off
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    paths = [stem.with_name(f"{stem.name}.png")]
    figure.savefig(paths[0], dpi=150, metadata={"Software": None})
    if svg:
        paths.append(stem.with_name(f"{stem.name}.svg"))
        figure.set_layout_engine("none")  # the layout is solved; the second file takes it over
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def place_labels(axes: Axes, points: np.ndarray, labels: Sequence[str], bars: np.ndarray) -> None:
    """Write a label beside each point where it covers fewest other labels, points and error bars.

    Points and both ends of their error bars [point, 2] are in data coordinates. A thin line joins far labels to their points.
    """
    axes.figure.canvas.draw()
    pixels, dot = axes.transData.transform, axes.figure.dpi / 18
    taken = [Bbox(pixels([point, point])).padded(dot) for point in points]
    taken += [
        Bbox(pixels([(x, low), (x, high)])).padded(dot / 3) for (x, _), (low, high) in zip(points, bars, strict=True)
    ]
    font: dict[str, Any] = {"fontsize": 9, "path_effects": [withStroke(linewidth=3, foreground="white")], "zorder": 5}
    for point, label in sorted(zip(points.tolist(), labels, strict=True), key=lambda item: (item[0][1], item[1])):
        text = axes.annotate(label, point, (0, 0), textcoords="offset points", va="center", **font)
        crowding = {place: _crowding(axes, text, place, taken) for place in _PLACES}
        place = min(crowding, key=crowding.__getitem__)
        _crowding(axes, text, place, taken)
        taken.append(text.get_window_extent())
        if np.hypot(*place) > 13:
            line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6}
            axes.annotate("", point, place, textcoords="offset points", arrowprops=line)


def _crowding(axes: Axes, text: Annotation, place: tuple[float, float], taken: Sequence[Bbox]) -> int:
    """Move a label to an offset; returns how many boxes it covers there, and 1 more where it leaves the panel."""
    text.set(position=place, ha="left" if place[0] > 0 else "right" if place[0] < 0 else "center")
    box, frame = text.get_window_extent().padded(2), axes.get_window_extent()
    return box.count_overlaps(taken) + int(not all(frame.contains(*corner) for corner in (box.min, box.max)))
