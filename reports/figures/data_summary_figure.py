"""A data set at a glance: cells per condition, depth, genes detected and the share of controls, by context."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports.figures.style import GREY, new_figure, settings

MOST_CONTEXTS = 8
"""Contexts drawn apart; the cells of further ones are drawn together."""
OTHERS = "others"


def draw_cells(conditions: pd.DataFrame, cells: pd.DataFrame, title: str, unit: str) -> Figure:
    """Draw the four panels.

    Parameters
    ----------
    conditions
        One row a condition: `context`, `is_control`, `cells`.
    cells
        One row a cell: `context`, `is_control`, `depth`, `detected`.
    title
        What the data are.
    unit
        What the depth counts, such as "counts".
    """
    largest = cells["context"].value_counts().index[:MOST_CONTEXTS]
    names = sorted(map(str, largest))
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)).as_hex(), strict=True)) | {OTHERS: GREY}
    grouped = cells.assign(context=cells["context"].where(cells["context"].isin(largest), OTHERS).astype(str))
    with settings():
        figure = new_figure(5.6)
        axes = figure.subplots(2, 2)
        _draw_sizes(axes[0, 0], conditions)
        _draw_shares(axes[0, 1], grouped, colours)
        _draw_spread(axes[1, 0], grouped, "depth", colours)
        _draw_spread(axes[1, 1], grouped, "detected", colours)
        axes[1, 0].set_xlabel(f"{unit} in a cell")
        axes[1, 1].set_xlabel("genes detected in a cell")
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def _draw_sizes(axes: Axes, conditions: pd.DataFrame) -> None:
    perturbed = np.sort(conditions.loc[~conditions["is_control"], "cells"].to_numpy())[::-1]
    controls = conditions.loc[conditions["is_control"], "cells"].to_numpy()
    axes.step(np.arange(1, len(perturbed) + 1), perturbed, where="mid", color="#0173b2", label="perturbed conditions")
    axes.axhline(np.median(controls), color=GREY, ls="--", lw=1, label="controls of a context, median")
    axes.set(yscale="log", xlabel="condition, by size", ylabel="cells")
    _plain_ticks(axes.yaxis)
    axes.legend(fontsize=8, loc="lower left")


def _draw_shares(axes: Axes, cells: pd.DataFrame, colours: dict[str, str]) -> None:
    shares = cells.groupby("context")["is_control"].mean().sort_index(ascending=False)
    axes.barh(shares.index, 100 * shares, color=[colours[name] for name in shares.index])
    axes.set(xlabel="controls, % of cells", xlim=(0, max(1.0, 110 * shares.max())))


def _draw_spread(axes: Axes, cells: pd.DataFrame, column: str, colours: dict[str, str]) -> None:
    positive = cells[column].min() > 0
    low, high = cells[column].quantile([0.001, 0.999])
    if positive and high > 3 * low:
        edges = np.geomspace(low, high, 40)
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis)
    else:
        edges = np.linspace(low, max(high, low + 1e-6), 40)
    for name, own in cells.groupby("context"):
        heights = np.histogram(own[column], edges)[0] / len(own)
        axes.stairs(heights, edges, color=colours[str(name)], label=str(name))
    axes.set(ylabel="share of cells", yticks=[])


def _plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
