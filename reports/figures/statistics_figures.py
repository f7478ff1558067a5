"""The figures of the statistics: mean ranks and wins, sensitivity of the order, calibration of the metrics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.style import (
    GREY,
    REFERENCE,
    label_lines,
    legend_below,
    new_figure,
    readable_on,
    set_title,
    write_in_cell,
)
from reports.formatting import number, shorten
from reports.stats.metric_quality import MIXTURES
from reports.stats.ranks import ALPHA, EVERYTHING
from reports.task_labels import Task, headline, lead_metric, ordered_models

_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "*", "h")
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
    ranks = friedman[friedman["metric"] == lead].sort_values(["mean_rank", "model"]).reset_index(drop=True)
    if len(ranks) < 2:
        return None
    figure = new_figure(2.3 + 0.36 * len(ranks))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 5))
    reach = float(ranks["critical_difference"].iloc[0]) / 2
    for place, row in enumerate(ranks.itertuples()):
        left.plot(
            [row.mean_rank - reach, row.mean_rank + reach],
            [place, place],
            color=colours[row.model],
            linewidth=5,
            alpha=0.45,
        )
        left.plot(row.mean_rank, place, "o", color=colours[row.model], markersize=7)
    left.set_yticks(range(len(ranks)), ranks["model"])
    left.set_ylim(len(ranks) - 0.5, -0.5)
    left.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    left.grid(axis="y", color="#e6e6e6")
    left.set_xlabel(
        f"mean rank (1 is best),\n{ranks['n_conditions'].iloc[0]} conditions;\n± half a critical difference"
    )
    _draw_wins(right, wins[wins["metric"] == lead], list(ranks["model"]))
    p = ranks["p"].iloc[0]
    test = (
        f"Friedman p = {p:.2g}, critical difference {2 * reach:.2f}"
        if np.isfinite(p)
        else "two models, no Friedman test"
    )
    set_title(
        figure,
        f"Ranks and wins in {headline(board)}: {test};\nmodels whose bars overlap cannot be told apart (Nemenyi, {ALPHA:.0%})",
        task,
    )
    return figure


def _draw_wins(axes: Axes, wins: pd.DataFrame, order: list[str]) -> None:
    """Draw the share of conditions, in per cent, on which the row's model beats the column's; bold where significant."""
    shares = wins.pivot(index="model", columns="other", values="wins").reindex(index=order, columns=order)
    p = wins.pivot(index="model", columns="other", values="p_holm").reindex(index=order, columns=order).to_numpy()
    image = axes.imshow(shares, cmap="PuOr_r", vmin=-0.15, vmax=1.15, aspect="auto")
    for (i, j), share in np.ndenumerate(shares.to_numpy()):
        if i == j:
            continue
        style = {"fontsize": min(8.5, 135 / len(order)), "fontweight": "bold" if p[i, j] < ALPHA else "normal"}
        write_in_cell(axes, (i, j), f"{100 * share:.0f}", readable_on(image.to_rgba(share)), **style)
    axes.set_xticks(range(len(order)), order, rotation=90)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"row beats column, % of conditions (ties half);\nbold: p < {ALPHA} (Wilcoxon, Holm)")


def draw_sensitivity(task: Task, table: pd.DataFrame) -> Figure | None:
    """Draw Kendall's τ of the order under each subset to that of the headline; None where nothing can be compared."""
    subsets = table[table["by"] != EVERYTHING].drop_duplicates(["by", "subset"])
    subsets = subsets[
        (subsets["n_models"] > 1) & ~((subsets["by"] == "metric") & (subsets["subset"] == subsets["headline"]))
    ]
    if subsets.empty:
        return None
    words = {"context": "context", "cells": "cells:", "fold": "fold", "seed": "seed"}
    panels = {
        "another metric": _lines(subsets[subsets["by"] == "metric"], ""),
        f"{subsets['headline'].iloc[0]} on a part of the data": pd.concat(
            [_lines(subsets[subsets["by"] == by], word) for by, word in words.items()]
        ),
    }
    panels = {title: lines for title, lines in panels.items() if len(lines)}
    longest = max(4, *map(len, panels.values()))
    figure = new_figure(1.7 + _ROW * longest)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        known = lines["tau"].notna()
        places = np.arange(len(lines))
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.hlines(places[known], 0, lines["tau"][known], color="#56b4e9", linewidth=2)
        axes.plot(lines["tau"][known], places[known], "o", color="#0072b2", markersize=5)
        for place in places[~known]:
            axes.text(0, place, " n/a", va="center", fontsize=8, style="italic")
        axes.set_yticks(places, [shorten(line, 34) for line in lines["line"]], fontsize=8.5)
        axes.set(xlim=(-1.08, 1.08), ylim=(longest - 0.4, -0.6), xlabel="Kendall's τ")
        axes.set_title(title, loc="left")
        axes.grid(axis="y", color="#eeeeee")
    set_title(
        figure, "Would the models' order be another than the headline's? 1: the same, 0: unrelated, −1: reversed", task
    )
    return figure


def _lines(subsets: pd.DataFrame, word: str) -> pd.DataFrame:
    """Return the subsets of one kind with the text of their line; of many, those that differ most from the headline."""
    subsets = subsets.assign(line=[f"{word} {subset}".strip() for subset in subsets["subset"]])
    if word != "context" or len(subsets) <= _SOME:
        return subsets
    return subsets.sort_values(["tau", "subset"]).head(_SOME)


def draw_calibration(
    task: Task, board: pd.DataFrame, quality: pd.DataFrame, colours: Mapping[str, str]
) -> Figure | None:
    """Draw scaled scores per metric, and beside them how well each metric orders planted predictors.

    None where there is neither a scaled score nor a planted predictor.
    """
    suite = board[(board["level"] == "suite") & (board["kind"] == "model")]
    quality = quality.set_index("metric")
    order = [
        metric
        for metric in suite["metric"].unique()
        if metric in quality.index and suite.loc[suite["metric"] == metric, "mean"].notna().any()
    ]
    rated = _scored(suite, quality, order)
    taus = quality.reindex(rated)[[f"tau_{mixture}" for mixture in MIXTURES]].astype(float)
    if not rated or (suite["scaled"].isna().all() and taus.isna().all(axis=None)):
        return None
    figure = new_figure(2.2 + _ROW * len(rated))
    recovery = bool(taus.notna().any(axis=None))
    panels = figure.subplots(1, 1 + recovery, sharey=True, width_ratios=(5, 3)[: 1 + recovery], squeeze=False)[0]
    _draw_scaled(panels[0], suite, rated, quality, list(ordered_models(board, lead_metric(board))["model"]), colours)
    label_lines(panels[0], rated, fontsize=8.5)
    if recovery:
        _draw_recovery(panels[1], taus, quality.reindex(rated))
    legend_below(figure, panels[0], ncols=4, fontsize=8.5)
    set_title(
        figure,
        "Calibration: 0 is the baseline, 1 the ceiling"
        + ("; does the metric order planted predictors?" if recovery else ""),
        task,
    )
    return figure


def _scored(suite: pd.DataFrame, quality: pd.DataFrame, order: list[str]) -> list[str]:
    """Return the metrics that rank here, or would if they were informative."""
    blunt = suite["status"].eq("uninformative") | suite["reason"].str.contains("uninformative: ")
    wanted = set(suite.loc[suite["rank"].notna() | blunt, "metric"])
    return [metric for metric in order if metric in wanted and metric in quality.index]


def _draw_scaled(
    axes: Axes,
    suite: pd.DataFrame,
    metrics: list[str],
    quality: pd.DataFrame,
    models: list[str],
    colours: Mapping[str, str],
) -> None:
    """Draw one dot per model and metric; a metric that does not separate baseline and ceiling is labelled so."""
    axes.axvline(0, color=GREY, linewidth=1.2, label="baseline")
    axes.axvline(1, color=REFERENCE, linewidth=1.2, linestyle="--", label="ceiling")
    places = {metric: place for place, metric in enumerate(metrics)}
    known = suite.dropna(subset="scaled")
    known = known[known["metric"].isin(places)]
    present = [model for model in models if model in set(known["model"])]
    for number_, model in enumerate(present):
        rows = known[known["model"] == model]
        axes.plot(
            rows["scaled"].clip(*_EDGE),
            rows["metric"].map(places),
            _MARKERS[number_ % len(_MARKERS)],
            color=colours[model],
            markersize=6,
            alpha=0.85,
            label=model,
        )
    for metric, place in places.items():
        if metric in set(known["metric"]):
            continue
        text = "uninformative" if quality.loc[metric, "informative"] is not None else "no ceiling or baseline"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.text(0.5, place, text, ha="center", va="center", fontsize=8, style="italic", bbox=box)
    axes.set(xlim=(_EDGE[0] - 0.08, _EDGE[1] + 0.08), xlabel="scaled score (beyond the edges: drawn there)")
    axes.grid(axis="y", color="#eeeeee")


def _draw_recovery(axes: Axes, taus: pd.DataFrame, quality: pd.DataFrame) -> None:
    """Draw Kendall's τ between planted and measured quality; in bold where the interval lies above 0."""
    image = axes.imshow(taus, cmap="PuOr_r", vmin=-1.3, vmax=1.3, aspect="auto")
    for (i, j), tau in np.ndenumerate(taus.to_numpy()):
        low = quality[f"tau_{MIXTURES[j]}_low"].iloc[i]
        text = "n/a" if np.isnan(tau) else number(tau, 2)
        sure = bool(low > 0)
        colour = "black" if np.isnan(tau) else readable_on(image.to_rgba(tau))
        text = text if sure or np.isnan(tau) else f"{text} ?"
        write_in_cell(axes, (i, j), text, colour, fontsize=8, fontweight="bold" if sure else "normal")
    axes.set_xticks(range(len(MIXTURES)), [mixture.replace("_", "\n") for mixture in MIXTURES])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("truth mixed with … (Kendall's τ;\n?: interval not above 0)")
