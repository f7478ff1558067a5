"""How every figure looks: one colour per model, titles that carry the warnings, files that are the same twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from reports.task_labels import BRACKETS, Task

WIDTH = 8.0
"""Inches; at 150 dots per inch and shown 900 pixels wide, 9 points are 14 pixels high."""
GREY = "#6b6b6b"
REFERENCE = "#111111"
_OWN = {
    "cycseq_n2p": 3,
    "cycseq_p2n": 3,
    "cycseq_plus_n2p": 9,
    "cycseq_plus_p2n": 9,
    "scgen": 0,
    "gears": 2,
    "linear": 4,
    "context_transfer": 1,
}
_FREE = (5, 8, 6)
_BRACKET_GREYS = {"no_change": "#9a9a9a", "train_mean": "#5c5c5c", "train_control": "#303030"}
_SETTINGS: Any = {
    "svg.hashsalt": "cycseq-bench",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
_OFFSETS = tuple(
    (radius * x, radius * y)
    for radius in (1.0, 2.0, 3.2, 4.6, 6.2)
    for x, y in ((1, 0), (-1, 0), (0.7, 1), (0.7, -1), (-0.7, 1), (-0.7, -1), (0, 1.2), (0, -1.2))
)


def settings() -> AbstractContextManager[None]:
    """Return a context in which figures are drawn and saved; the global settings are restored at its end."""
    return mpl.rc_context(_SETTINGS)


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """Give each model a colour-blind-safe colour, the same in every figure; brackets are grey.

    The models of this project keep their colour in every results folder; others take the free ones in alphabetical
    order, and share them when there are more than three.
    """
    palette = sns.color_palette("colorblind").as_hex()
    names = sorted(set(models))
    others = [name for name in names if name not in _OWN and name not in BRACKETS]
    free = {name: _FREE[number % len(_FREE)] for number, name in enumerate(others)}
    return {
        name: _BRACKET_GREYS[name] if name in BRACKETS else palette[_OWN.get(name, free.get(name, 0))] for name in names
    }


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width, `height` inches high, drawn by Agg, outside the global state of pyplot."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid_of_panels(n: int, base: float, row: float = 2.1) -> tuple[Figure, np.ndarray]:
    """Return a figure of `base` inches plus `row` per row of panels, and its n panels, at most four in a row, with shared axes."""
    n_columns = min(4, n)
    n_rows = -(-n // n_columns)
    figure = new_figure(base + row * n_rows)
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in panels[n:]:
        axes.set_visible(False)
    return figure, panels[:n]


def label_lines(axes: Axes, names: Sequence[str], **style: Any) -> None:
    """Label the lines of a plot with a line per name, the first at the top."""
    axes.set_yticks(range(len(names)), names, **style)
    axes.set_ylim(len(names) - 0.4, -0.6)


def legend_below(figure: Figure, axes: Axes, *, ncols: int, fontsize: float = 9) -> None:
    """Write the legend of one panel below all of them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=ncols, fontsize=fontsize)


def draw_mean(
    axes: Axes,
    place: float,
    summary: tuple[float, float, float],
    colour: str,
    *,
    linewidth: float = 2,
    markersize: float = 6,
    marker: str = "o",
) -> None:
    """Draw (mean, low, high) as a dot on a horizontal bar at line `place`; no bar where there is no interval."""
    mean, low, high = summary
    if np.isfinite(low):
        axes.plot([low, high], [place, place], color=colour, linewidth=linewidth)
    axes.plot(mean, place, marker, color=colour, markersize=markersize)


def write_in_cell(axes: Axes, cell: tuple[int, int], text: str, colour: str, **style: Any) -> None:
    """Write a text into the cell (row, column) of a heatmap."""
    axes.text(cell[1], cell[0], text, ha="center", va="center", color=colour, **style)


def set_title(figure: Figure, what: str, task: Task) -> None:
    """Write the title: what is shown, of which task, and the task's warnings where they cannot be missed."""
    lines = [what, task.title, *([" · ".join(task.warnings)] if task.warnings else [])]
    figure.suptitle(
        "\n".join(lines),
        fontsize=11,
        x=0.01,
        ha="left",
        fontweight="bold" if task.leak else "normal",
        color="#a32100" if task.leak else "black",
    )


def readable_on(background: np.ndarray) -> str:
    """Return black or white, whichever is read better on a colour (red, green, blue, …; 0 to 1)."""
    return "white" if np.dot(background[:3], (0.299, 0.587, 0.114)) < 0.5 else "black"


def save(figure: Figure, stem: Path, *, svg: bool) -> list[Path]:
    """Write `stem`.png (150 dots per inch) and, where asked, `stem`.svg, the same bytes each time; returns the paths."""
    paths = [stem.with_name(f"{stem.name}.png")]
    figure.savefig(paths[0], dpi=150, metadata={"Software": None})
    if svg:
        paths.append(stem.with_name(f"{stem.name}.svg"))
        figure.set_layout_engine("none")  # the layout is solved; the second file takes it over
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def place_labels(axes: Axes, points: np.ndarray, labels: Sequence[str], lines: Sequence[tuple[float, float]]) -> None:
    """Write a label beside each point where it covers no other label, no point and no error bar.

    Each label takes the first free place of a list that goes outwards; a thin line joins the far ones to their points.

    Parameters
    ----------
    points
        Data coordinates [point, 2].
    labels
        One label per point.
    lines
        Lower and upper end of each point's error bar, data coordinates.
    """
    figure = axes.figure
    figure.canvas.draw()
    spots = axes.transData.transform(points)
    scale = figure.dpi / 72
    step, thick = 8 * scale, 3 * scale
    taken = [Bbox.from_bounds(x - step / 2, y - step / 2, step, step) for x, y in spots]
    for (x, _), (low, high) in zip(points, lines, strict=True):
        (left, bottom), (_, top) = axes.transData.transform([(x, low), (x, high)])
        taken.append(Bbox.from_extents(left - thick / 2, bottom, left + thick / 2, top))
    frame = axes.get_window_extent()
    for point, spot, label in sorted(zip(points, spots, labels, strict=True), key=lambda item: (item[1][1], item[2])):
        text = axes.annotate(
            label,
            point,
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=9,
            va="center",
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=5,
        )
        dx, dy, box = _free_place(spot, np.add(text.get_window_extent().size, 2 * scale), step, taken, frame)
        taken.append(box)
        text.set(position=(dx / scale, dy / scale), ha="left" if dx > 0 else "right" if dx < 0 else "center")
        if np.hypot(dx, dy) > 1.6 * step:
            axes.annotate(
                "",
                point,
                xytext=(dx / scale, dy / scale),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6},
            )


def _free_place(
    spot: np.ndarray, size: np.ndarray, step: float, taken: Sequence[Bbox], frame: Bbox
) -> tuple[float, float, Bbox]:
    """Return the offset, in pixels, and the box of the first place that overlaps least of what is taken."""
    best: tuple[float, float, float, Bbox] | None = None
    for x, y in _OFFSETS:
        dx, dy = x * step, y * step
        left = spot[0] + dx - (0 if dx > 0 else size[0] if dx < 0 else size[0] / 2)
        box = Bbox.from_bounds(left, spot[1] + dy - size[1] / 2, size[0], size[1])
        outside = box.width * box.height - _overlap(box, frame)
        cost = outside + sum(_overlap(box, other) for other in taken)
        if best is None or cost < best[0] - 1e-6:
            best = (cost, dx, dy, box)
    if best is None:
        raise RuntimeError("no place for a label: the list of places is empty.")
    return best[1:]


def _overlap(one: Bbox, other: Bbox) -> float:
    """Return the area two boxes share, in square pixels."""
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height
