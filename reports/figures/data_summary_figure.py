"""A data set at a glance: cells per condition, depth, genes detected and the share of controls, by context."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from reports.figures import style

MOST_CONTEXTS = 8
"""Contexts drawn apart; the cells of further ones are drawn together."""
OTHERS = "others"


@style.settings()
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
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)).as_hex(), strict=True)) | {OTHERS: style.GREY}
    cells = cells.assign(context=cells["context"].where(cells["context"].isin(largest), OTHERS).astype(str))
    figure = style.new_figure(5.6)
    (sizes, controls), (depths, detected) = figure.subplots(2, 2)
    perturbed = conditions.loc[~conditions["is_control"], "cells"].sort_values(ascending=False)
    median = conditions.loc[conditions["is_control"], "cells"].median()
    sizes.step(range(1, len(perturbed) + 1), perturbed, where="mid", color="#0173b2", label="perturbed conditions")
    sizes.axhline(median, color=style.GREY, ls="--", lw=1, label="controls of a context, median")
    sizes.set(yscale="log", xlabel="condition, by size", ylabel="cells")
    _plain_ticks(sizes.yaxis)
    sizes.legend(fontsize=8, loc="lower left")
    shares = 100 * cells.groupby("context")["is_control"].mean().sort_index(ascending=False)
    controls.barh(shares.index, shares, color=shares.index.map(colours))
    controls.set(xlabel="controls, % of cells", xlim=(0, max(1.0, 1.1 * shares.max())))
    _draw_spread(depths, cells["depth"], cells["context"], colours)
    _draw_spread(detected, cells["detected"], cells["context"], colours)
    depths.set_xlabel(f"{unit} in a cell")
    detected.set_xlabel("genes detected in a cell")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _draw_spread(axes: Axes, values: pd.Series, contexts: pd.Series, colours: dict[str, str]) -> None:
    low, high = values.quantile([0.001, 0.999])
    edges = np.linspace(low, max(high, low + 1e-6), 40)
    if values.min() > 0 and high > 3 * low:
        edges = np.geomspace(low, high, 40)
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis)
    for name, own in values.groupby(contexts):
        axes.stairs(np.histogram(own, edges)[0] / len(own), edges, color=colours[name])
    axes.set(ylabel="share of cells", yticks=[])


def _plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
