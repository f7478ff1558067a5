"""The figures of the statistics: mean ranks and wins, sensitivity of the order, calibration of the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.colours import REFERENCE
from reports.figures import style
from reports.formatting import number, shorten
from reports.stats.metric_quality import MIXTURES
from reports.stats.ranks import ALPHA, EVERYTHING
from reports.task_labels import Task, count_failures, headline, lead_metric, ordered_models

_EDGE = (-1.0, 1.6)
"""Scaled scores beyond are drawn at the edge."""
_SOME = 25
"""Contexts drawn in the sensitivity figure: those whose order differs most."""
_ROW = 0.23
"""Inches per line of a figure that has a line per metric."""


def draw_ranks(
    task: Task, board: pd.DataFrame, friedman: pd.DataFrame, wins: pd.DataFrame, colours: Mapping[str, str]
) -> Figure | None:
    """Draw mean ranks with the critical difference, and the share of conditions won beside them; None below two models."""
    lead = lead_metric(board)
    ranks = friedman[friedman["metric"] == lead].sort_values(["mean_rank", "model"])
    if len(ranks) < 2:
        return None
    first, order = ranks.iloc[0], list(ranks["model"])
    difference = float(first["critical_difference"])
    figure, (left, right) = style.row_of_panels(2, 2.3 + 0.36 * len(ranks), sharey=True, width_ratios=(2, 5))
    for place, row in enumerate(ranks.itertuples()):
        bar, colour = [row.mean_rank - difference / 2, row.mean_rank + difference / 2], colours[row.model]
        left.plot(bar, [place, place], color=colour, linewidth=5, alpha=0.45)
        left.plot(row.mean_rank, place, "o", color=colour, markersize=7)
    rows = ordered_models(board, lead).set_index("model")
    style.label_lines(left, [name + count_failures(rows.loc[name]) for name in order])
    left.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    left.grid(axis="y", color=style.RULE)
    left.set_xlabel(f"mean rank (1 is best),\n{first['n_conditions']} conditions;\n± half a critical difference")
    wins = wins[wins["metric"] == lead].pivot(index="model", columns="other", values=["wins", "p_holm"])
    shares, p = (wins[name].reindex(index=order, columns=order).astype(float) for name in ("wins", "p_holm"))
    texts = shares.map(lambda share: "" if np.isnan(share) else f"{100 * share:.0f}")
    size = min(8.5, 135 / len(order))
    style.draw_heatmap(right, shares, texts, p.to_numpy() < ALPHA, size, cmap="PuOr_r", vmin=-0.15, vmax=1.15)
    right.tick_params(axis="x", labelrotation=90)
    right.tick_params(axis="y", length=0)
    right.set_xlabel(f"row beats column, % of conditions (ties half);\nbold: p < {ALPHA} (Wilcoxon, Holm)")
    test = f"Friedman p = {first['p']:.2g}, critical difference {difference:.2f}"
    title = (
        f"Ranks and wins in {headline(board)}: {test if np.isfinite(first['p']) else 'two models, no Friedman test'};\n"
        f"models whose bars overlap cannot be told apart (Nemenyi, {ALPHA:.0%})"
    )
    return style.finish(figure, title, task)


def draw_sensitivity(task: Task, table: pd.DataFrame) -> Figure | None:
    """Draw Kendall's τ of the order under each subset to that of the headline; None where nothing can be compared."""
    subsets = table[(table["by"] != EVERYTHING) & (table["n_models"] > 1)].drop_duplicates(["by", "subset"])
    subsets = subsets[(subsets["by"] != "metric") | (subsets["subset"] != subsets["headline"])]
    if subsets.empty:
        return None
    words = {"metric": "", "context": "context ", "cells": "cells: ", "fold": "fold ", "seed": "seed "}
    pairs = zip(subsets["by"], subsets["subset"], strict=True)
    subsets = subsets.assign(line=[f"{words[by]}{subset}" for by, subset in pairs])
    lines = {by: subsets[subsets["by"] == by] for by in words}
    if len(lines["context"]) > _SOME:
        lines["context"] = lines["context"].sort_values(["tau", "subset"]).head(_SOME)
    found = {
        "another metric": lines.pop("metric"),
        f"{subsets['headline'].iloc[0]} on a part of the data": pd.concat(lines.values()),
    }
    found = {title: rows for title, rows in found.items() if len(rows)}
    longest = max(4, *map(len, found.values()))
    figure, panels = style.row_of_panels(len(found), 1.7 + _ROW * longest)
    for axes, (title, rows) in zip(panels, found.items(), strict=True):
        places = np.arange(len(rows))
        axes.axvline(0, color=style.GREY, linewidth=0.8)
        axes.hlines(places, 0, rows["tau"], color="#56b4e9", linewidth=2)
        axes.plot(rows["tau"], places, "o", color="#0072b2", markersize=5)
        for place in places[rows["tau"].isna()]:
            axes.text(0, place, " n/a", va="center", fontsize=8, style="italic")
        style.label_lines(axes, [shorten(line, 34) for line in rows["line"]], fontsize=8.5)
        axes.set(xlim=(-1.08, 1.08), ylim=(longest - 0.4, -0.6), xlabel="Kendall's τ")
        axes.set_title(title, loc="left")
        axes.grid(axis="y", color=style.RULE)
    title = "Would the models' order be another than the headline's? 1: the same, 0: unrelated, −1: reversed"
    return style.finish(figure, title, task)


def draw_calibration(
    task: Task, board: pd.DataFrame, quality: pd.DataFrame, colours: Mapping[str, str]
) -> Figure | None:
    """Draw scaled scores per metric, and beside them how well each metric orders planted predictors.

    None where there is neither a scaled score nor a planted predictor.
    """
    suite = board[(board["level"] == "suite") & (board["kind"] == "model")]
    quality = quality.set_index("metric")
    # metrics that rank here, or would if they were informative
    blunt = suite["status"].eq("uninformative") | suite["reason"].str.contains("uninformative: ")
    valued = suite.loc[suite["mean"].notna(), "metric"]
    rated = suite.loc[(suite["rank"].notna() | blunt) & suite["metric"].isin(valued), "metric"].unique()
    quality = quality.loc[[metric for metric in rated if metric in quality.index]]
    taus = quality[[f"tau_{mixture}" for mixture in MIXTURES]].astype(float)
    if quality.empty or (suite["scaled"].isna().all() and taus.isna().all(axis=None)):
        return None
    recovery = bool(taus.notna().any(axis=None))
    height, widths = 2.2 + _ROW * len(quality), (5, 3)[: 1 + recovery]
    figure, panels = style.row_of_panels(1 + recovery, height, sharey=True, width_ratios=widths)
    models = [model for model in ordered_models(board, lead_metric(board))["model"] if model in set(suite["model"])]
    _draw_scaled(panels[0], suite.dropna(subset="scaled"), quality, models, colours)
    style.label_lines(panels[0], list(quality.index), fontsize=8.5)
    if recovery:
        _draw_recovery(panels[1], taus, quality)
    title = "Calibration: 0 is the baseline, 1 the ceiling" + "; does the metric order planted predictors?" * recovery
    return style.finish(figure, title, task, panels[0], ncols=4, fontsize=8.5)


def _draw_scaled(
    axes: Axes, suite: pd.DataFrame, quality: pd.DataFrame, models: list[str], colours: Mapping[str, str]
) -> None:
    """Draw one dot per model and metric; a metric that does not separate baseline and split half is labelled so."""
    axes.axvline(0, color=style.GREY, linewidth=1.2, label="baseline")
    axes.axvline(1, color=REFERENCE, linewidth=1.2, linestyle="--", label="ceiling")
    scaled = suite.pivot(index="metric", columns="model", values="scaled").reindex(quality.index).clip(*_EDGE)
    scaled = scaled[[model for model in models if model in scaled]].dropna(axis="columns", how="all")
    for (model, values), marker in zip(scaled.items(), cycle(style.MARKERS), strict=False):
        look: dict[str, Any] = {"color": colours[model], "markersize": 6, "alpha": 0.85}
        axes.plot(values, range(len(values)), marker, label=model, **look)
    for place in np.flatnonzero(scaled.isna().all(axis="columns")).tolist():
        text = "uninformative" if quality["informative"].iloc[place] is not None else "no references or baseline"
        axes.text(0.5, place, text, ha="center", va="center", fontsize=8, style="italic", bbox=style.WHITE)
    axes.set(xlim=(_EDGE[0] - 0.08, _EDGE[1] + 0.08), xlabel="scaled score (beyond the edges: drawn there)")
    axes.grid(axis="y", color=style.RULE)


def _draw_recovery(axes: Axes, taus: pd.DataFrame, quality: pd.DataFrame) -> None:
    """Draw Kendall's τ between planted and measured quality; in bold where the interval lies above 0."""
    sure = quality[[f"tau_{mixture}_low" for mixture in MIXTURES]].to_numpy(dtype=float) > 0
    texts = taus.map(lambda tau: number(tau, 2)) + np.where(sure, "", " ?")
    texts = texts.where(taus.notna(), "n/a")
    taus = taus.set_axis([mixture.replace("_", "\n") for mixture in MIXTURES], axis="columns")
    style.draw_heatmap(axes, taus, texts, sure, cmap="PuOr_r", vmin=-1.3, vmax=1.3)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("truth mixed with … (Kendall's τ;\n?: interval not above 0)")
