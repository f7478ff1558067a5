"""The fidelity report: two tables and figures of real and simulated data sets, and a page that shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.analyses.simulation_fidelity.bands import BANDS, DIFFERENCES, check
from benchmarks.analyses.simulation_fidelity.count_statistics import Counts, control_counts, summary
from benchmarks.analyses.simulation_fidelity.effect_sizes import effect_table
from benchmarks.data import cards
from benchmarks.data.dataset import load_dataset

TINY = ("smoke_simulated",)
"""Simulated data sets that are too small to compare."""
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
    """Name all simulated data sets but the tiny one."""
    return [n for n in cards.available() if cards.read_card(n).source == "simulated" and n not in TINY]


def write_report(out: Path, names: Sequence[str], data_dir: Path | None, seed: int, say: Callable[[str], None]) -> Path:
    """Measure data sets one after another and write tables, figures and fidelity.md; returns the page's path.

    Parameters
    ----------
    out
        Folder to write to.
    names
        Data sets, the real one first.
    data_dir
        Folder with local copies of data files.
    seed
        Seed of halves and permutations.
    say
        Called with a line of progress for each data set.

    Raises
    ------
    BenchmarkError
        An unknown name, or data that are not available.
    """
    from benchmarks.analyses.simulation_fidelity.fidelity_figures import draw_counts, draw_effects

    out.mkdir(parents=True, exist_ok=True)
    statistics, effects, figures = [], [], []
    real: dict[str, Counts] = {}
    for name in names:
        say(f"{name} ...")
        dataset = load_dataset(name, data_dir=data_dir)
        counts = {context: control_counts(dataset, context) for context in sorted(set(dataset.cells.obs["context"]))}
        labels = {"source": dataset.card.source, "dataset": dataset.card.name}
        statistics += [
            pd.concat([pd.Series(labels | {"context": context}), summary(own)]) for context, own in counts.items()
        ]
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
    """Write the page in Markdown.

    Parameters
    ----------
    statistics
        One row a context: dataset, source, context and the values of `count_statistics.summary`.
    effects
        One row a condition, from `effect_sizes.effect_table`.
    figures
        File names of the figures, beside the page.
    """
    count_rows = (
        [row["dataset"], row["context"], *(_number(float(row[name]), digits) for name, _, digits in COUNTS)]
        for _, row in statistics.iterrows()
    )
    effect_rows = (
        [dataset, context, str(len(group)), *(_number(float(group[name].mean()), 2) for name, _ in EFFECTS)]
        for (_, dataset, context), group in effects.groupby(["source", "dataset", "context"])
    )
    outside = [
        f"{row.context} ({row.dataset}): {name} is {statistics[name].iloc[index]:.2f}"
        for index, row in enumerate(statistics.itertuples())
        if row.source == "simulated"
        for name, holds in check(statistics.iloc[index]).items()
        if not holds
    ]
    return PAGE.format(
        counts=_table(["data set", "context", *(title for _, title, _ in COUNTS)], count_rows),
        bands="; ".join(f"{b.statistic} {b.low:.2f} to {b.high:.2f}" for b in BANDS),
        outside="; ".join(outside) or "none",
        effects=_table(["data set", "context", "conditions", *(title for _, title in EFFECTS)], effect_rows),
        differences="\n".join(f"- {text}" for text in DIFFERENCES),
        figures="\n".join(f"![simulated data beside real data: {name}]({name})" for name in figures),
    )


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])
