"""Figures of the fidelity report: real cells on the left, simulated ones on the right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns

from benchmarks.analyses.simulation_fidelity.count_statistics import SAME_CELLS, Counts, first_cells, gene_table
from reports.figures import style

PANELS = (
    ("e_distance", "E-distance to controls (log2; linear below 0.1)"),
    ("r2_copy", "r2_pearson of copying the control"),
    ("delta_mean", "pearson_delta of the others' mean effect"),
    ("delta_halves", "pearson_delta of split halves"),
)
COLOURS = dict(zip(("real", "simulated"), sns.color_palette("colorblind").as_hex(), strict=False))


@style.settings()
def draw_counts(real: Mapping[str, Counts], twin: Mapping[str, Counts], names: tuple[str, str], stem: Path) -> Path:
    """Draw mean against variance, detection against mean, and depth, real beside simulated; returns the path.

    Genes are drawn from the same number of cells on both sides: fewer cells scatter more.
    """
    figure = style.new_figure(9.5)
    axes = figure.subplots(3, 2, sharex="row", sharey="row")
    for column, contexts, kind, name in zip(axes.T, (real, twin), ("REAL", "SIMULATED"), names, strict=True):
        variance, detection, depth = column
        variance.set_title(f"{kind}: {name}")
        for context, counts in contexts.items():
            genes = gene_table(first_cells(counts))
            seen = (genes.mean > 0) & (genes.variance > 0)
            dots = {"s": 3, "alpha": 0.4, "label": context, "rasterized": True}
            variance.scatter(genes.mean[seen], genes.variance[seen], **dots)
            detection.scatter(genes.mean[seen], 1 - genes.detected[seen], **dots)
            median = np.median(counts.depth)
            label = f"{context}, median {median:,.0f}"
            sns.kdeplot(x=np.log(counts.depth / median), ax=depth, label=label, linewidth=1.2)
        line = np.geomspace(1e-3, 1e2, 50)
        variance.plot(line, line, color=style.GREY, linewidth=1, label="Poisson")
        variance.plot(line, line + 0.5 * line**2, color=style.GREY, linewidth=1, linestyle="--", label="dispersion 0.5")
        detection.plot(line, np.exp(-line), color=style.GREY, linewidth=1)
        mean = f"mean count ({SAME_CELLS} cells"
        variance.set(xscale="log", yscale="log", xlabel=f"{mean})", ylabel="variance of the count")
        detection.set(xscale="log", xlabel=f"{mean}; line: Poisson)", ylabel="share of cells without a count")
        depth.set(xlabel="ln of depth over the context's median depth", ylabel="density of cells")
        variance.legend(fontsize=7, markerscale=3)
        depth.legend(fontsize=7)
    figure.suptitle(f"Counts of control cells: {names[1]} (simulated) beside real data", x=0.01, ha="left")
    return style.save(figure, stem, svg=False)[0]


@style.settings()
def draw_effects(table: pd.DataFrame, stem: Path) -> Path:
    """Draw how large effects are and how well they are predicted, one row a context, real first; returns the path."""
    order = ["source", "dataset", "context"]
    rows = list(table.sort_values(order).groupby(order, sort=False))
    figure = style.new_figure(2.5 + 0.42 * len(rows))
    panels = figure.subplots(2, 2, sharey=True)
    for axes, (column, title) in zip(panels.flat, PANELS, strict=True):
        for place, ((source, _, _), group) in enumerate(rows):
            values = group[column].to_numpy()
            spread = np.linspace(-0.25, 0.25, len(values))[np.argsort(np.random.default_rng(0).random(len(values)))]
            axes.scatter(values, place + spread, s=5, color=COLOURS[source], alpha=0.45, linewidths=0)
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            axes.plot([low, high], [place, place], color="black", linewidth=1.2)
            axes.plot([middle, middle], [place - 0.3, place + 0.3], color="black", linewidth=1.6)
        style.label_lines(axes, [f"{context} · {name}" for (_, name, context), _ in rows], fontsize=8)
        axes.axvline(0, color=style.GREY, linewidth=0.6)
        axes.set_xlabel(title)
    panels[0, 0].set_xscale("symlog", linthresh=0.1)
    panels[0, 0].set_xticks([-0.1, 0, 0.1, 1, 10], ["−0.1", "0", "0.1", "1", "10"])
    panels[0, 1].set_xlim(min(0.9, float(table["r2_copy"].quantile(0.01))), 1.0)
    for name, colour in COLOURS.items():
        panels[0, 0].plot([], [], "o", color=colour, label=name)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    title = "Effects, a real grid beside simulated twins: a dot is a condition, the bar the quartiles"
    figure.suptitle(title, x=0.01, ha="left")
    return style.save(figure, stem, svg=False)[0]
