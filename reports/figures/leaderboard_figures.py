"""The figures of a results folder: ranking, contexts, input copying, time against quality, and those of the statistics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.colours import REFERENCE, model_colours
from reports.figures import style
from reports.figures.statistics_figures import draw_calibration, draw_ranks, draw_sensitivity
from reports.formatting import decimals, number, seconds, shorten
from reports.stats.run_statistics import RunStatistics
from reports.task_labels import HEADLINE, Task, count_failures, fit_costs, headline, lead_metric, ordered_models, tasks

_SHORTEST = 0.01
"""Seconds; faster fits are drawn here on the logarithmic axis."""
_MANY = 8
"""Contexts; with more of them the heatmap is written smaller."""
_AUDIT = ["sim_tp", "sim_it", "copy_margin"]
_REFERENCE_LINES = {"ceiling": (0, (6, 1.5)), "split_half": "--", "expectation": ":", "oracle": "-."}
_AXIS_LABELS = {
    "pearson_delta": "pearson_delta\n(correlation of true and predicted change, no unit)",
    "r2_pearson": "r2_pearson\n(squared correlation, no unit)",
}


@style.settings()
def write_figures(run: RunStatistics, folder: Path) -> dict[str, list[Path]]:
    """Draw every figure that a task has the numbers for: PNG, and SVG of the four that show scores.

    Returns
    -------
    dict
        Task slug → paths, in the order of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    board = run.leaderboard
    # one condition alone has no interval: its dot is drawn without a bar
    board = board.assign(low=board["low"].fillna(board["mean"]), high=board["high"].fillna(board["mean"]))
    colours = model_colours(board.loc[board["kind"] == "model", "model"])
    paths: dict[str, list[Path]] = {}
    for task, rows in tasks(board):
        scores = {
            "ranking": draw_ranking(task, rows, colours),
            "contexts": draw_contexts(task, rows),
            "copying": draw_copying(task, rows, task.select(run.settled), colours),
            "time": draw_time(task, rows, fit_costs(run.tables.costs, task), colours),
        }
        statistics = {
            "ranks": draw_ranks(task, rows, task.select(run.friedman), task.select(run.wins), colours),
            "sensitivity": draw_sensitivity(task, task.select(run.sensitivity)),
            "calibration": draw_calibration(task, rows, task.select(run.quality), colours),
        }
        paths[task.slug] = [
            path
            for name, figure in (scores | statistics).items()
            if figure is not None
            for path in style.save(figure, folder / f"{name}-{task.slug}", svg=name in scores)
        ]
    return paths


def draw_ranking(task: Task, board: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Draw one line per model: mean and 95 % interval of the headline, and of r2_pearson beside it."""
    lead = lead_metric(board)
    models = ordered_models(board, lead)
    models = models[models["kind"] == "model"].reset_index(drop=True)
    shown = [lead, *({"r2_pearson"} & set(board["metric"]) - {lead})]
    height, widths = 1.9 + 0.34 * len(models), (3, 2)[: len(shown)]
    figure, panels = style.row_of_panels(len(shown), height, sharey=True, width_ratios=widths)
    for axes, metric in zip(panels, shown, strict=True):
        rows = ordered_models(board, metric)
        ranked = rows[(rows["kind"] == "model") & rows["mean"].notna()]
        style.draw_intervals(axes, ranked, list(models["model"]), colours)
        _draw_references(axes, rows[rows["kind"] == "reference"], ranked)
        axes.set_xlabel(_AXIS_LABELS.get(metric, f"{metric}\n(see the table of metrics)"))
    failures = [count_failures(row).replace(" (", "\n(") for _, row in models.iterrows()]
    style.label_lines(panels[0], models["model"] + failures)
    look: dict[str, Any] = {"fontsize": 8, "va": "center", "style": "italic", "bbox": style.WHITE}
    for row in models[models["mean"].isna()].itertuples():
        text = shorten(f"{row.status}: {row.reason}", 60)
        panels[0].text(0.02, row.Index, text, transform=panels[0].get_yaxis_transform(), **look)
    panels[0].plot([], [], "o", color=style.GREY, label="grey dots: brackets, nothing learnt per perturbation")
    title = f"Ranking by {headline(board)}: mean over contexts, 95 % interval"
    return style.finish(figure, title, task, panels[0], ncols=2)


def _draw_references(axes: Axes, references: pd.DataFrame, models: pd.DataFrame) -> None:
    """Draw references as lines with bands; one that is far from the models is named, not drawn."""
    ends = [*models["low"], *models["high"], 0.0] if len(models) else [0.0, 1.0]
    if min(ends) == 0.0 and models["mean"].median() > 0.4:
        ends.remove(0.0)
    reach = 0.8 * (max(ends) - min(ends))
    known = references[
        references["mean"].notna() & ~references["model"].isin(["other_controls", "names_only"])
    ]  # at no_change
    for row in known.itertuples():
        label = f"{row.model} (reference) {number(row.mean, 2)}"
        line = _REFERENCE_LINES.get(row.model, "-")
        look: dict[str, Any] = {"color": REFERENCE, "linestyle": line, "linewidth": 1.3}
        if min(ends) - reach <= row.mean <= max(ends) + reach:
            axes.axvspan(row.low, row.high, color=REFERENCE, alpha=0.10, linewidth=0)
            axes.axvline(row.mean, label=label, **look)
        else:
            axes.plot([], [], label=f"{label}, off the axis", **look)
    if min(ends) <= 0 <= max(ends):
        axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def draw_contexts(task: Task, board: pd.DataFrame) -> Figure:
    """Draw the headline as a heatmap, model × context, the split half beneath; hatched where a model has no value."""
    lead = lead_metric(board)
    order = ordered_models(board, lead)
    order = order[(order["kind"] == "model") | (order["model"] == "split_half")]
    rows = board[(board["level"] == "context") & (board["metric"] == lead) & board["model"].isin(order["model"])]
    tables = rows.pivot(index="model", columns="context", values=["mean", "n_failed"])
    tables = tables.loc[[model for model in order["model"] if model in tables.index]]
    values, names = tables["mean"].astype(float), list(tables.index)
    small = values.shape[1] > _MANY
    places = 2 if small else min(decimals(rows["mean"]), 3)
    failed = tables["n_failed"].fillna(0).astype(float) > 0
    texts = values.map(lambda value: number(value, places)) + np.where(failed, "†", "")
    texts = texts.where(values.notna(), "n/a")
    reach = max(float(np.nanmax(np.abs(values.to_numpy()))) if values.notna().any(axis=None) else 1.0, 1e-6)
    figure = style.new_figure(1.7 + 0.36 * len(values))
    axes = figure.subplots()
    axes.patch.set(facecolor="#f2f2f2", edgecolor="#b5b5b5", hatch="///", linewidth=0)  # seen where there is no value
    look: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach, "fontsize": 8 if small else 9}
    figure.colorbar(style.draw_heatmap(axes, values, texts, **look), ax=axes, label=lead, shrink=0.9)
    if "split_half" in names[1:]:
        axes.axhline(names.index("split_half") - 0.5, color=REFERENCE, linewidth=2)
    axes.set_yticks(range(len(names)), [f"{name} (reference)" if name == "split_half" else name for name in names])
    if small:
        axes.set_xticks(axes.get_xticks(), values.columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlabel("context")
    return style.finish(figure, f"{lead} per context; n/a: no value; †: failures, scored as no_change", task)


def draw_copying(task: Task, board: pd.DataFrame, settled: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Draw sim(t, p) against sim(r, p), one panel per model and one dot per condition; None without the audit metrics.

    The line is the mean of sim(i, t): copies of the input lie on it.
    """
    own = settled[settled["own"] & (settled["kind"] == "model")]
    own = own[own["metric"].isin([*_AUDIT, "copies_input"])]
    labels = ["model", "context", "condition"]
    own = own.astype(dict.fromkeys([*labels, "metric"], object))
    points = own.pivot(index=labels, columns="metric", values="value")
    if not set(_AUDIT) <= set(points):
        return None
    points = points.dropna(subset=_AUDIT).assign(sim_rp=lambda known: known["sim_tp"] - known["copy_margin"])
    flags = points.get("copies_input", pd.Series(np.nan, points.index)).groupby("model").mean()
    order = [model for model in ordered_models(board, lead_metric(board))["model"] if model in flags.index]
    figure, panels = style.grid_of_panels(len(order), 1.5, 2.1, "sim(reference, prediction)", "sim(truth, prediction)")
    low = float(points[["sim_tp", "sim_rp", "sim_it"]].min(axis=None))
    for axes, model in zip(panels, order, strict=True):
        _draw_triangle(axes, points.loc[model], low - 0.05 * (1 - low), colours[model])
        flagged = "" if np.isnan(flags[model]) else f"\nflagged as copies: {100 * flags[model]:.0f} %"
        axes.set_title(model + flagged, fontsize=9)
    title = "Input-copy audit, a dot per condition; sim: squared Pearson correlation of mean profiles"
    return style.finish(figure, title, task, panels[0], ncols=3)


def _draw_triangle(axes: Axes, points: pd.DataFrame, edge: float, colour: str) -> None:
    """Draw one panel; the shaded side below the diagonal is that of copying."""
    ends = [edge, 1 + 0.04 * (1 - edge)]
    axes.fill_between(ends, ends, edge, color="#eeeeee", linewidth=0, label="nearer other cells of the input's state")
    axes.plot(ends, ends, color=style.GREY, linewidth=1, linestyle="--", label="equally near")
    middle = float(points["sim_it"].mean())
    axes.axhline(middle, color=style.GREY, linewidth=0.8, linestyle=":", label="mean sim(input, truth)")
    axes.scatter(points["sim_rp"], points["sim_tp"], s=12, color=colour, alpha=0.7, linewidths=0)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(3))


def draw_time(task: Task, board: pd.DataFrame, costs: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Draw the headline against seconds to fit; None where no ranked model has a recorded cost."""
    lead = lead_metric(board)
    rows = ordered_models(board, lead)
    rows = rows[rows["mean"].notna()]
    models = rows[rows["kind"] == "model"].join(costs, on="model").dropna(subset="fit_seconds")
    if models.empty:
        return None
    models = models.assign(time=models["fit_seconds"].clip(lower=_SHORTEST))
    figure = style.new_figure(4.6)
    axes = figure.subplots()
    own_colours = [colours[model] for model in models["model"]]
    axes.vlines(models["time"], models["low"], models["high"], colors=own_colours, linewidth=1.2)
    axes.scatter(models["time"], models["mean"], s=64, c=own_colours, zorder=2)
    for row in rows[rows["model"] == "split_half"].itertuples():
        axes.axhspan(row.low, row.high, color=REFERENCE, alpha=0.08, linewidth=0)
        axes.axhline(row.mean, color=REFERENCE, linestyle="--", linewidth=1.2, label="split_half (reference)")
    axes.axhline(0, color=style.GREY, linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(_SHORTEST / 2, max(float(models["time"].max()), 10.0) * 6)
    axes.xaxis.set_major_locator(FixedLocator([0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s" if value < 60 else seconds(value)))
    axes.set(xlabel=f"time to fit (mean over folds and seeds; below {_SHORTEST:g} s drawn there)", ylabel=lead)
    better = "upper left is better; " if lead == HEADLINE else ""
    title = f"Time against {lead}: {better}bars are 95 % intervals"
    style.finish(figure, title, task, axes, loc="outside lower right")
    points = models[["time", "mean"]].to_numpy()
    style.place_labels(axes, points, list(models["model"]), models[["low", "high"]].to_numpy())
    return figure
