"""The figures of a results folder: ranking, contexts, input copying, time against quality, and those of the statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.figures import style
from reports.figures.findings import say_copies, say_hardest, say_leader, say_quickest
from reports.figures.statistics_figures import draw_calibration, draw_ranks, draw_sensitivity
from reports.formatting import decimals, number, seconds, shorten
from reports.stats.run_statistics import RunStatistics
from reports.task_labels import (
    BRACKETS,
    HEADLINE,
    Task,
    asked_models,
    count_failures,
    fit_costs,
    lead_metric,
    ordered_models,
    tasks,
)

_SHORTEST = 0.01
"""Seconds; faster fits are drawn here on the logarithmic axis."""
_MANY = 8
"""Contexts; with more of them the heatmap is written smaller."""
_AUDIT = ["sim_tp", "sim_it", "copy_margin"]
_REFERENCE_LINES = {"ceiling": (0, (6, 1.5)), "split_half": "--", "expectation": ":", "oracle": "-."}
_BANDS = {"split_half": "#555555", "ceiling": "#0072b2"}
"""References whose interval is drawn as a band → its colour."""
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
    looks = style.looks_of(board)
    paths: dict[str, list[Path]] = {}
    for task, rows in tasks(board):
        scores = {
            "ranking": draw_ranking(task, rows, looks),
            "contexts": draw_contexts(task, rows),
            "copying": draw_copying(task, rows, task.select(run.settled), looks),
            "time": draw_time(task, rows, fit_costs(run.tables.costs, task), looks),
        }
        quick = style.any_hollow(looks, asked_models(ordered_models(rows, lead_metric(rows)))["model"])
        statistics = {
            "ranks": draw_ranks(task, rows, task.select(run.friedman), task.select(run.wins), looks),
            "sensitivity": draw_sensitivity(task, task.select(run.sensitivity), quick=quick),
            "calibration": draw_calibration(task, rows, task.select(run.quality), looks),
        }
        paths[task.slug] = [
            path
            for name, figure in (scores | statistics).items()
            if figure is not None
            for path in style.save(figure, folder / f"{name}-{task.slug}", svg=name in scores)
        ]
    return paths


def draw_ranking(task: Task, board: pd.DataFrame, looks: style.Looks) -> Figure | None:
    """Draw one line per model: mean and 95 % interval of the headline, and of r2_pearson beside it.

    Models that do not take the task have no line; those that failed have one, with the reason. None where no model takes it.
    """
    lead = lead_metric(board)
    models = asked_models(ordered_models(board, lead))
    if models.empty:
        return None
    shown = [lead, *({"r2_pearson"} & set(board["metric"]) - {lead})]
    height, widths = 2.1 + 0.34 * len(models), (3, 2)[: len(shown)]
    figure, panels = style.row_of_panels(len(shown), height, sharey=True, width_ratios=widths)
    for axes, metric in zip(panels, shown, strict=True):
        _draw_means(axes, board, metric, models, looks)
    _label_models(panels[0], models)
    quick = style.any_hollow(looks, models.loc[models["mean"].notna(), "model"])
    what = f"{lead}: mean over contexts, bars are 95 % intervals"
    return style.finish(figure, say_leader(board), what, task, panels[0], quick=quick, ncols=2)


def ranking_panel(axes: Axes, board: pd.DataFrame, metric: str, looks: style.Looks) -> None:
    """Draw one line per model of a task into axes: mean and 95 % interval of a metric, and the references."""
    models = asked_models(ordered_models(board, metric))
    _draw_means(axes, board, metric, models, looks)
    _label_models(axes, models)


def _draw_means(axes: Axes, board: pd.DataFrame, metric: str, models: pd.DataFrame, looks: style.Looks) -> None:
    rows = ordered_models(board, metric)
    ranked = rows[(rows["kind"] == "model") & rows["mean"].notna()]
    style.draw_intervals(axes, ranked, list(models["model"]), looks)
    _draw_references(axes, rows[rows["kind"] == "reference"], ranked)
    axes.set_xlabel(_AXIS_LABELS.get(metric, f"{metric}\n(see the table of metrics)"))


def _label_models(axes: Axes, models: pd.DataFrame) -> None:
    """Label the lines of a ranking, and say on them why a model has no value."""
    failures = [count_failures(row).replace(" (", "\n(") for _, row in models.iterrows()]
    style.label_lines(axes, models["model"] + failures)
    look: dict[str, Any] = {"fontsize": 8, "va": "center", "style": "italic", "bbox": style.WHITE}
    for row in models[models["mean"].isna()].itertuples():
        text = shorten(f"{row.status}: {row.reason}", 60)
        axes.text(0.02, row.Index, text, transform=axes.get_yaxis_transform(), **look)
    if models["model"].isin(BRACKETS).any():
        axes.plot([], [], label="grey: brackets, nothing learnt per perturbation", **style.Look(style.GREY).points())


def _draw_references(axes: Axes, references: pd.DataFrame, models: pd.DataFrame) -> None:
    """Draw references as lines, some with the band of their interval; one that is far from the models is named, not drawn."""
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
        look: dict[str, Any] = {"color": style.REFERENCE, "linestyle": line, "linewidth": 1.3}
        if min(ends) - reach <= row.mean <= max(ends) + reach:
            axes.axvline(row.mean, label=label, **look)
            if row.model in _BANDS and row.high > row.low:
                band: dict[str, Any] = {"color": _BANDS[row.model], "alpha": 0.16, "linewidth": 0}
                axes.axvspan(row.low, row.high, label=f"{row.model}: 95 % interval", zorder=0, **band)
        else:
            axes.plot([], [], label=f"{label}, off the axis", **look)
    if min(ends) <= 0 <= max(ends):
        axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def draw_contexts(task: Task, board: pd.DataFrame) -> Figure | None:
    """Draw the headline as a heatmap, model × context, the split half beneath; hatched where a model has no value.

    Models that do not take the task have no line. None where no model takes it.
    """
    lead = lead_metric(board)
    if asked_models(ordered_models(board, lead)).empty:
        return None
    values = _by_context(board, lead)["mean"].astype(float)
    figure = style.new_figure(2.0 + 0.36 * len(values))
    quick = contexts_panel(figure.subplots(), board, lead)
    what = f"{lead} per context, the mean of its conditions; n/a: no value; †: failures, scored as no_change"
    finding = say_hardest(values.drop("split_half", errors="ignore"), lead)
    return style.finish(figure, finding, what, task, quick=quick)


def _by_context(board: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return `mean` and `n_failed` [model, context], of the models in the board's order and of the split half."""
    order = ordered_models(board, metric)
    order = pd.concat([asked_models(order), order[order["model"] == "split_half"]])
    rows = board[(board["level"] == "context") & (board["metric"] == metric) & board["model"].isin(order["model"])]
    tables = rows.pivot(index="model", columns="context", values=["mean", "n_failed"])
    return tables.loc[[model for model in order["model"] if model in tables.index]]


def contexts_panel(axes: Axes, board: pd.DataFrame, metric: str) -> bool:
    """Draw a metric of a task into axes as `draw_contexts` does, with a colour bar beside them; returns whether a model is quick."""
    tables, order = _by_context(board, metric), ordered_models(board, metric)
    values, names = tables["mean"].astype(float), list(tables.index)
    small = values.shape[1] > _MANY
    places = 2 if small else min(decimals(pd.Series(values.to_numpy().ravel())), 3)
    failed = tables["n_failed"].fillna(0).astype(float) > 0
    texts = values.map(lambda value: number(value, places)) + np.where(failed, "†", "")
    texts = texts.where(values.notna(), "n/a")
    reach = max(float(np.nanmax(np.abs(values.to_numpy()))) if values.notna().any(axis=None) else 1.0, 1e-6)
    axes.patch.set(facecolor="#f2f2f2", edgecolor="#b5b5b5", hatch="///", linewidth=0)  # seen where there is no value
    look: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach, "fontsize": 8 if small else 9}
    axes.figure.colorbar(style.draw_heatmap(axes, values, texts, **look), ax=axes, label=metric, shrink=0.9)
    if "split_half" in names[1:]:
        axes.axhline(names.index("split_half") - 0.5, color=style.REFERENCE, linewidth=2)
    quick = set(order.loc[order["budget"] == "quick", "model"]) & set(names)
    words = {name: f"{name} (quick)" for name in quick} | {"split_half": "split_half (reference)"}
    axes.set_yticks(range(len(names)), [words.get(name, name) for name in names])
    if small:
        axes.set_xticks(axes.get_xticks(), values.columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlabel("context")
    return bool(quick)


def draw_copying(task: Task, board: pd.DataFrame, settled: pd.DataFrame, looks: style.Looks) -> Figure | None:
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
    figure, panels = style.grid_of_panels(len(order), 1.8, 2.25, "sim(reference, prediction)", "sim(truth, prediction)")
    low = float(points[["sim_tp", "sim_rp", "sim_it"]].min(axis=None))
    for axes, model in zip(panels, order, strict=True):
        _draw_triangle(axes, points.loc[model], low - 0.05 * (1 - low), looks[model])
        flagged = "" if np.isnan(flags[model]) else f"\nflagged as copies: {100 * flags[model]:.0f} %"
        axes.set_title(model + flagged, fontsize=9)
    what = "Input-copy audit, a point per condition; sim: squared Pearson correlation of mean profiles"
    quick = style.any_hollow(looks, order)
    return style.finish(figure, say_copies(flags), what, task, panels[0], quick=quick, ncols=2)


def _draw_triangle(axes: Axes, points: pd.DataFrame, edge: float, look: style.Look) -> None:
    """Draw one panel; the shaded side below the diagonal is that of copying."""
    ends = [edge, 1 + 0.04 * (1 - edge)]
    axes.fill_between(ends, ends, edge, color="#eeeeee", linewidth=0, label="nearer other cells of the input's state")
    axes.plot(ends, ends, color=style.GREY, linewidth=1, linestyle="--", label="equally near")
    middle = float(points["sim_it"].mean())
    axes.axhline(middle, color=style.GREY, linewidth=0.8, linestyle=":", label="mean sim(input, truth)")
    axes.plot(points["sim_rp"], points["sim_tp"], alpha=0.8, **look.points(0.6))
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(3))


def draw_time(task: Task, board: pd.DataFrame, costs: pd.DataFrame, looks: style.Looks) -> Figure | None:
    """Draw the headline against seconds to fit; None where no ranked model has a recorded cost."""
    lead = lead_metric(board)
    if _timed(board, lead, costs).empty:
        return None
    figure = style.new_figure(5.0)
    axes = figure.subplots()
    models = time_panel(axes, board, lead, costs, looks)
    better = "; upper left is better" if lead == HEADLINE else ""
    what = f"{lead} against the time to fit; bars are 95 % intervals{better}"
    quick = style.any_hollow(looks, models["model"])
    style.finish(figure, say_quickest(board, models), what, task, axes, quick=quick, ncols=3)
    name_points(axes, models)
    return figure


def _timed(board: pd.DataFrame, metric: str, costs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models with a value of a metric and a recorded cost, with `time` to fit in seconds."""
    rows = ordered_models(board, metric)
    rows = rows[rows["mean"].notna() & (rows["kind"] == "model")]
    models = rows.join(costs, on="model").dropna(subset="fit_seconds")
    return models.assign(time=models["fit_seconds"].clip(lower=_SHORTEST))


def name_points(axes: Axes, models: pd.DataFrame) -> None:
    """Write the models' names beside their points, once the layout of the figure is known."""
    points = models[["time", "mean"]].to_numpy()
    style.place_labels(axes, points, list(models["model"]), models[["low", "high"]].to_numpy())


def time_panel(axes: Axes, board: pd.DataFrame, metric: str, costs: pd.DataFrame, looks: style.Looks) -> pd.DataFrame:
    """Draw a metric of a task against seconds to fit into axes; returns what is drawn, for `name_points`.

    `costs` are what `task_labels.fit_costs` returned.
    """
    models = _timed(board, metric, costs)
    for row in models.itertuples():
        look = looks[row.model]
        axes.plot([row.time, row.time], [row.low, row.high], color=look.colour, linewidth=1.2)
        axes.plot(row.time, row.mean, zorder=2, **look.points(1.2))
    rows = ordered_models(board, metric)
    for row in rows[(rows["model"] == "split_half") & rows["mean"].notna()].itertuples():
        band = "its 95 % interval"
        axes.axhline(row.mean, color=style.REFERENCE, linestyle="--", linewidth=1.2, label="split_half (reference)")
        axes.axhspan(row.low, row.high, color=style.REFERENCE, alpha=0.08, linewidth=0, label=band)
    axes.axhline(0, color=style.GREY, linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(_SHORTEST / 2, max(float(models["time"].max()), 10.0) * 6)
    axes.xaxis.set_major_locator(FixedLocator([0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s" if value < 60 else seconds(value)))
    axes.set(xlabel=f"time to fit (mean over folds and seeds; below {_SHORTEST:g} s drawn there)", ylabel=metric)
    return models
