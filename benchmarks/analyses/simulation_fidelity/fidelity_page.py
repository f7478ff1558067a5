"""The fidelity report as a page: the two tables, the bands, and what differs on purpose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from benchmarks.analyses.simulation_fidelity.bands import BANDS, DIFFERENCES, check

COUNTS = (
    ("cells", "cells", 0),
    ("genes", "genes", 0),
    ("median_depth", "median depth", 0),
    ("median_panel_counts", "of it in the panel", 0),
    ("sd_ln_depth", "sd ln depth", 2),
    ("sd_ln_mean", "sd ln mean", 2),
    ("entries_detected", "detected", 2),
    ("detected_0.1_0.3", "at mean 0.1–0.3", 2),
    ("detected_0.3_1", "0.3–1", 2),
    ("detected_1_3", "1–3", 2),
    ("detected_3_10", "3–10", 2),
    ("dispersion_0.3_1", "dispersion at 0.3–1", 2),
    ("dispersion_1_3", "1–3", 2),
    ("dispersion_spread_1_10", "its spread, 1–10", 2),
    ("variance_by_mean_1_3", "variance / mean at 1–3", 2),
)
EFFECTS = (
    ("e_distance", "E-distance"),
    ("e_significant", "significant"),
    ("r2_copy", "r² of copying the control"),
    ("delta_mean", "mean effect"),
    ("delta_mean_shared", "mean effect, shared control"),
    ("delta_halves", "split halves"),
)


def write_page(statistics: pd.DataFrame, effects: pd.DataFrame, figures: Sequence[str]) -> str:
    """Write the report in Markdown.

    Parameters
    ----------
    statistics
        One row a context: dataset, source, context and the values of `counts.summary`.
    effects
        One row a condition, from `effects.effect_table`.
    figures
        File names of the figures, beside the page.
    """
    outside = [
        f"{row.context} ({row.dataset}): {name} is {statistics[name].iloc[index]:.2f}"
        for index, row in enumerate(statistics.itertuples())
        if row.source == "simulated"
        for name, holds in check(statistics.iloc[index]).items()
        if not holds
    ]
    parts = [
        "# Fidelity of the simulated data sets",
        "",
        "Real control cells beside **simulated** ones (every data set whose name ends in `_simulated`). Counts of the real "
        "file are restored from its ln(CP10k + 1): a cell's smallest value is one count. Restored counts and libraries come "
        "out as whole numbers, so mean, variance, detection and library size can all be compared; what cannot is anything "
        "outside its panel of highly variable genes.",
        "",
        "## Counts",
        "",
        "Control cells. Depth: all counts of a cell (real: the whole library; simulated: the panel is all there is). Detection, "
        "dispersion and variance / mean: median over genes of that mean count.",
        "",
        *_table(["data set", "context", *(title for _, title, _ in COUNTS)], _count_rows(statistics)),
        "",
        "Bands (real range and margin): " + "; ".join(_band(b.statistic, b.low, b.high) for b in BANDS) + ".",
        "",
        f"Simulated contexts outside a band: {'; '.join(outside) if outside else 'none'}.",
        "",
        "## Effects",
        "",
        "Means over conditions of at most 100 cells; significant: share with p < 0.05 by permutation of cells and controls. "
        "`pearson_delta` is measured with disjoint controls, unless the column says shared.",
        "",
        *_table(["data set", "context", "conditions", *(title for _, title in EFFECTS)], _effect_rows(effects)),
        "",
        "## Different on purpose",
        "",
        *(f"- {text}" for text in DIFFERENCES),
        "",
        *(f"![simulated data beside real data: {name}]({name})" for name in figures),
        "",
    ]
    return "\n".join(parts)


def _count_rows(statistics: pd.DataFrame) -> Iterable[list[str]]:
    for _, row in statistics.iterrows():
        yield [row["dataset"], row["context"], *(_number(float(row[name]), digits) for name, _, digits in COUNTS)]


def _effect_rows(effects: pd.DataFrame) -> Iterable[list[str]]:
    for (_, dataset, context), group in effects.groupby(["source", "dataset", "context"]):
        yield [dataset, context, str(len(group)), *(_number(float(group[name].mean()), 2) for name, _ in EFFECTS)]


def _band(name: str, low: float, high: float) -> str:
    return f"{name} {low:.2f} to {high:.2f}"


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
