"""The fidelity report: two tables and figures of real and simulated data sets, and a page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns

from benchmarks.analyses.simulation_fidelity.count_statistics import (
    BANDS,
    SAME_CELLS,
    Counts,
    control_counts,
    first_cells,
    gene_table,
    outside_bands,
    summary,
)
from benchmarks.analyses.simulation_fidelity.effect_sizes import effect_table
from benchmarks.data import cards
from benchmarks.data.dataset import load_dataset
from reports.figures import style
from reports.formatting import bullets, markdown_table

COUNTS = {
    "cells": "cells",
    "genes": "genes",
    "median_depth": "median depth",
    "median_panel_counts": "of it in the panel",
    "sd_ln_depth": "sd ln depth",
    "sd_ln_mean": "sd ln mean",
    "entries_detected": "detected",
    "detected_0.1_0.3": "at mean 0.1–0.3",
    "detected_0.3_1": "0.3–1",
    "detected_1_3": "1–3",
    "detected_3_10": "3–10",
    "dispersion_0.3_1": "dispersion at 0.3–1",
    "dispersion_1_3": "1–3",
    "dispersion_spread_1_10": "its spread, 1–10",
    "variance_by_mean_1_3": "variance / mean at 1–3",
}
WHOLE_NUMBERS = ("cells", "genes", "median_depth", "median_panel_counts", "conditions")
EFFECTS = {
    "e_distance": "E-distance",
    "e_significant": "significant",
    "r2_copy": "r² of copying the control",
    "delta_mean": "mean effect",
    "delta_mean_shared": "mean effect, shared control",
    "delta_halves": "split halves",
}
PANELS = (
    ("e_distance", "E-distance to controls (log2; linear below 0.1)"),
    ("r2_copy", "r2_pearson of copying the control"),
    ("delta_mean", "pearson_delta of the others' mean effect"),
    ("delta_halves", "pearson_delta of split halves"),
)
COLOURS = dict(zip(("real", "simulated"), sns.color_palette("colorblind").as_hex(), strict=False))
DIFFERENCES = (
    "Panel: the twins measure genes over the whole range of expression and detect 0.3 to 0.4 of all entries; the real panel "
    "is 500 highly variable genes and detects 0.03 to 0.16. So statistics are compared at one mean, not over all genes.",
    "Effects: the nine genes of the real glioma lines act so weakly that their split halves do not agree (pearson_delta "
    "about 0). A data set where nothing can be predicted ranks no model, so the twins' knock-outs run from nothing to strong, "
    "and about a third can be detected at 100 cells.",
    "Shared change: every perturbed cell of a twin carries a stress programme that controls lack, so that the mean effect "
    "of other perturbations is a baseline worth beating. In the real gliomas it scores 0.05 to 0.07 with disjoint controls.",
    "Sign: the real K562 cells are activated and the gliomas inhibited, so signs flip between contexts; in the twins a "
    "perturbation has one sign and its response correlates between contexts.",
    "Depth: the twins' cells vary less in depth (sd of ln 0.35; sciplex_simulated 0.5) than the gliomas' (0.5 to 0.65), as "
    "those of the real K562 do (0.37).",
    "Cells: counts are unimodal. No cell cycle, no subpopulation and no guide that kills its cells is simulated.",
)
"""Where simulated data differ from real ones on purpose."""
PAGE = """# Fidelity of the simulated data sets

Real control cells beside **simulated** ones (every data set whose name ends in `_simulated`). Counts of the real file are
restored from its ln(CP10k + 1): a cell's smallest value is one count. Restored counts and libraries come out as whole
numbers, so mean, variance, detection and library size can all be compared, but nothing outside its panel of highly variable
genes.

## Counts

Control cells. Depth: all counts of a cell (real: the whole library; simulated: the panel is all there is). Detection,
dispersion and variance / mean: median over genes of that mean count.

{counts}

Bands (real range and margin): {bands}.

Simulated contexts outside a band: {outside}.

## Effects

Means over conditions of at most 100 cells; significant: share with p < 0.05 by permutation of cells and controls.
`pearson_delta` is measured with disjoint controls, unless the column says shared.

{effects}

## Different on purpose

{differences}

{figures}
"""


def default_twins() -> list[str]:
    """Name all simulated data sets but one, which is too small to compare."""
    return [n for n in cards.available() if cards.read_card(n).source == "simulated" and n != "smoke_simulated"]


def write_report(out: Path, names: Sequence[str], data_dir: Path | None, seed: int, say: Callable[[str], None]) -> Path:
    """Measure data sets, the real one first, and write tables, figures and fidelity.md to `out`; returns the page's path.

    `say` is called with a line of progress for each data set.

    Raises
    ------
    BenchmarkError
        An unknown name, or data that are not available.
    """
    out.mkdir(parents=True, exist_ok=True)
    statistics, effects, figures = [], [], []
    real: dict[str, Counts] = {}
    for name in names:
        say(f"{name} ...")
        dataset = load_dataset(name, data_dir=data_dir)
        counts = {context: control_counts(dataset, context) for context in sorted(set(dataset.cells.obs["context"]))}
        labels = {"source": dataset.card.source, "dataset": dataset.card.name}
        statistics += [labels | {"context": context, **summary(own)} for context, own in counts.items()]
        effects.append(effect_table(dataset, seed))
        real = real or counts
        if len(effects) > 1:
            figures.append(draw_counts(real, counts, (names[0], name), out / f"counts_{name}"))
    table, conditions = pd.DataFrame(statistics), pd.concat(effects, ignore_index=True)
    figures.append(draw_effects(conditions, out / "effects"))
    table.to_csv(out / "counts.csv", index=False)
    conditions.to_csv(out / "effects.csv", index=False)
    page = out / "fidelity.md"
    page.write_text(page_text(table, conditions, [f.name for f in figures]), encoding="utf-8")
    return page


def page_text(statistics: pd.DataFrame, effects: pd.DataFrame, figures: Sequence[str]) -> str:
    """Write the page in Markdown, with links to the figures beside it.

    `statistics` has a row a context (dataset, source, context and the values of `summary`), `effects` a row a condition.
    """
    labels = ["source", "dataset", "context"]
    groups = effects.groupby(labels)
    means = groups[list(EFFECTS)].mean().assign(conditions=groups.size()).reset_index()
    outside = [
        f"{row['context']} ({row['dataset']}): {name} is {row[name]:.2f}"
        for _, row in statistics[statistics["source"] == "simulated"].iterrows()
        for name in outside_bands(row)
    ]
    return PAGE.format(
        counts=_table(statistics, COUNTS),
        bands="; ".join(f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in BANDS.items()),
        outside="; ".join(outside) or "none",
        effects=_table(means, {"conditions": "conditions"} | EFFECTS),
        differences=bullets(DIFFERENCES),
        figures="\n".join(f"![simulated data beside real data: {name}]({name})" for name in figures),
    )


def _table(rows: pd.DataFrame, columns: Mapping[str, str]) -> str:
    """Lay out some columns (name → title) behind data set and context."""
    texts = rows[["dataset", "context"]].rename(columns={"dataset": "data set"})
    for name, title in columns.items():
        digits = 0 if name in WHOLE_NUMBERS else 2
        texts[title] = ["–" if pd.isna(value) else f"{value:,.{digits}f}" for value in rows[name]]
    return markdown_table(texts.to_dict("records"))


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
    for name, colour in COLOURS.items():
        panels[0, 0].plot([], [], "o", color=colour, label=name)
    panels[0, 0].set_xscale("symlog", linthresh=0.1)
    panels[0, 0].set_xticks([-0.1, 0, 0.1, 1, 10], ["−0.1", "0", "0.1", "1", "10"])
    panels[0, 1].set_xlim(min(0.9, float(table["r2_copy"].quantile(0.01))), 1.0)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    title = "Effects, a real grid beside simulated twins: a dot is a condition, the bar the quartiles"
    figure.suptitle(title, x=0.01, ha="left")
    return style.save(figure, stem, svg=False)[0]
