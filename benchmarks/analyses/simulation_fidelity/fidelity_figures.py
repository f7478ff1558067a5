"""Figures of the fidelity report: real cells on the left, simulated ones on the right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks.analyses.simulation_fidelity.count_statistics import SAME_CELLS, Counts, first_cells, gene_table
from reports.figures.style import GREY, new_figure, save, settings

PANELS = (
    ("e_distance", "E-distance to controls (log2; linear below 0.1)"),
    ("r2_copy", "r2_pearson of copying the control"),
    ("delta_mean", "pearson_delta of the others' mean effect"),
    ("delta_halves", "pearson_delta of split halves"),
)

COLOURS = dict(zip(("real", "simulated"), sns.color_palette("colorblind").as_hex(), strict=False))


def draw_counts(real: Mapping[str, Counts], twin: Mapping[str, Counts], names: tuple[str, str], stem: Path) -> Path:
    """Draw mean against variance, detection against mean, and depth, real beside simulated; returns the path.

    Genes are drawn from the same number of cells on both sides: fewer cells scatter more.
    """
    with settings():
        figure = new_figure(9.5)
        axes = figure.subplots(3, 2, sharex="row", sharey="row")
        for column, (contexts, name, kind) in enumerate(((real, names[0], "REAL"), (twin, names[1], "SIMULATED"))):
            _variance(axes[0, column], contexts)
            _detection(axes[1, column], contexts)
            _depth(axes[2, column], contexts)
            axes[0, column].set_title(f"{kind}: {name}")
        figure.suptitle(f"Counts of control cells: {names[1]} (simulated) beside real data", x=0.01, ha="left")
        return save(figure, stem, svg=False)[0]


def draw_effects(table: pd.DataFrame, stem: Path) -> Path:
    """Draw how large effects are and how well they are predicted, one row a context, real first; returns the path."""
    order = ["source", "dataset", "context"]
    rows = [(key, group) for key, group in table.sort_values(order).groupby(order, sort=False)]
    with settings():
        figure = new_figure(2.5 + 0.42 * len(rows))
        axes = figure.subplots(2, 2, sharey=True)
        for ax, (column, title) in zip(axes.flat, PANELS, strict=True):
            for place, ((source, _, _), group) in enumerate(rows):
                _row(ax, place, group[column].to_numpy(), COLOURS[source])
            ax.set(xlabel=title, yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
            ax.set_yticklabels([f"{context} · {name}" for (_, name, context), _ in rows], fontsize=8)
            ax.axvline(0, color=GREY, linewidth=0.6)
        axes[0, 0].set_xscale("symlog", linthresh=0.1)
        axes[0, 0].set_xticks([-0.1, 0, 0.1, 1, 10], ["−0.1", "0", "0.1", "1", "10"])
        axes[0, 1].set_xlim(min(0.9, float(table["r2_copy"].quantile(0.01))), 1.0)
        marks = [Line2D([], [], marker="o", linestyle="", color=colour, label=name) for name, colour in COLOURS.items()]
        figure.legend(handles=marks, loc="outside lower center", ncols=2)
        figure.suptitle(
            "Effects, a real grid beside simulated twins: a dot is a condition, the bar the quartiles",
            x=0.01,
            ha="left",
        )
        return save(figure, stem, svg=False)[0]


def _row(ax: Axes, place: int, values: np.ndarray, colour: str) -> None:
    """One context: every condition a dot, quartiles a bar, the median a stroke."""
    spread = np.linspace(-0.25, 0.25, len(values))[np.argsort(np.random.default_rng(0).random(len(values)))]
    ax.scatter(values, place + spread, s=5, color=colour, alpha=0.45, linewidths=0)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    ax.plot([low, high], [place, place], color="black", linewidth=1.2)
    ax.plot([middle, middle], [place - 0.3, place + 0.3], color="black", linewidth=1.6)


def _variance(ax: Axes, contexts: Mapping[str, Counts]) -> None:
    for name, counts in contexts.items():
        genes = gene_table(first_cells(counts))
        seen = (genes.mean > 0) & (genes.variance > 0)
        ax.scatter(genes.mean[seen], genes.variance[seen], s=3, alpha=0.4, label=name, rasterized=True)
    line = np.geomspace(1e-3, 1e2, 50)
    ax.plot(line, line, color=GREY, linewidth=1, label="Poisson")
    ax.plot(line, line + 0.5 * line**2, color=GREY, linewidth=1, linestyle="--", label="dispersion 0.5")
    ax.set(xscale="log", yscale="log", xlabel=f"mean count ({SAME_CELLS} cells)", ylabel="variance of the count")
    ax.legend(fontsize=7, markerscale=3)


def _detection(ax: Axes, contexts: Mapping[str, Counts]) -> None:
    for name, counts in contexts.items():
        genes = gene_table(first_cells(counts))
        seen = genes.mean > 0
        ax.scatter(genes.mean[seen], 1 - genes.detected[seen], s=3, alpha=0.4, label=name, rasterized=True)
    line = np.geomspace(1e-3, 1e2, 50)
    ax.plot(line, np.exp(-line), color=GREY, linewidth=1)
    ax.set(
        xscale="log", xlabel=f"mean count ({SAME_CELLS} cells; line: Poisson)", ylabel="share of cells without a count"
    )


def _depth(ax: Axes, contexts: Mapping[str, Counts]) -> None:
    for name, counts in contexts.items():
        depth = np.log(counts.depth / np.median(counts.depth))
        sns.kdeplot(x=depth, ax=ax, label=f"{name}, median {np.median(counts.depth):,.0f}", linewidth=1.2)
    ax.set(xlabel="ln of depth over the context's median depth", ylabel="density of cells")
    ax.legend(fontsize=7)
