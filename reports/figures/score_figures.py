"""The figures of the scores: ranking, contexts, input copying, and time against quality."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.figures.style import (
    GREY,
    REFERENCE,
    draw_mean,
    grid_of_panels,
    label_lines,
    legend_below,
    new_figure,
    place_labels,
    readable_on,
    set_title,
    write_in_cell,
)
from reports.formatting import decimals, number, seconds, shorten
from reports.tables import FAILED
from reports.task_labels import HEADLINE, Task, headline, lead_metric, ordered_models

_SHORTEST = 0.01
"""Seconds; faster fits are drawn here on the logarithmic axis."""
_MANY = 8
"""Contexts; with more of them the heatmap is written smaller."""
_TRIANGLE = ("sim_tp", "sim_ip", "sim_it")
_REFERENCE_LINES = {"ceiling": "--", "expectation": ":", "oracle": "-."}
_UNITS = {
    "pearson_delta": "pearson_delta (correlation of true and predicted change, no unit)",
    "r2_pearson": "r2_pearson (squared correlation, no unit)",
}


def _axis_label(metric: str) -> str:
    return _UNITS.get(metric, f"{metric} (see the table of metrics)")


def draw_ranking(task: Task, board: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Draw one line per model: mean and 95 % interval of the headline, and of r2_pearson beside it."""
    lead = lead_metric(board)
    models = ordered_models(board, lead)
    models = models[models["kind"] == "model"]
    shown = [lead, *(["r2_pearson"] if lead != "r2_pearson" and (board["metric"] == "r2_pearson").any() else [])]
    figure = new_figure(1.9 + 0.34 * len(models))
    panels = figure.subplots(1, len(shown), sharey=True, width_ratios=(3, 2)[: len(shown)], squeeze=False)[0]
    for axes, metric in zip(panels, shown, strict=True):
        _draw_intervals(axes, ordered_models(board, metric), list(models["model"]), colours)
        axes.set_xlabel(_axis_label(metric).replace(" (", "\n("))
    first = panels[0]
    names = models["model"].where(~models["status"].isin(FAILED), models["model"] + "\n(failed)")
    label_lines(first, names)
    for place, (_, row) in enumerate(models.iterrows()):
        if pd.isna(row["mean"]):
            first.annotate(
                shorten(f"{row['status']}: {row['reason']}", 60),
                (0.02, place),
                fontsize=8,
                va="center",
                xycoords=("axes fraction", "data"),
                style="italic",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
    first.plot([], [], "o", color=GREY, label="grey dots: brackets, nothing learnt per perturbation")
    legend_below(figure, first, ncols=2)
    set_title(figure, f"Ranking by {headline(board)}: mean over contexts, 95 % interval", task)
    return figure


def _draw_intervals(axes: Axes, rows: pd.DataFrame, order: list[str], colours: Mapping[str, str]) -> None:
    """Draw dots with intervals, and references as lines with bands; a far reference is named, not drawn."""
    models = rows[(rows["kind"] == "model") & rows["mean"].notna()]
    for _, row in models.iterrows():
        summary = (row["mean"], row["low"], row["high"])
        draw_mean(axes, order.index(row["model"]), summary, colours[row["model"]], linewidth=2.2, markersize=7)
    ends = [*models["low"], *models["high"], 0.0] if len(models) else [0.0, 1.0]
    if min(ends) == 0.0 and models["mean"].median() > 0.4:
        ends.remove(0.0)
    reach = 0.8 * (max(ends) - min(ends))
    drawn = (
        (rows["kind"] == "reference") & rows["mean"].notna() & (rows["model"] != "other_controls")
    )  # it lies at no_change
    for _, row in rows[drawn].iterrows():
        style = _REFERENCE_LINES.get(row["model"], "-")
        label = f"{row['model']} (reference) {number(row['mean'], 2)}"
        if not min(ends) - reach <= row["mean"] <= max(ends) + reach:
            axes.plot([], [], color=REFERENCE, linestyle=style, linewidth=1.3, label=f"{label}, off the axis")
            continue
        axes.axvspan(row["low"], row["high"], color=REFERENCE, alpha=0.10, linewidth=0)
        axes.axvline(row["mean"], color=REFERENCE, linestyle=style, linewidth=1.3, label=label)
    if min(ends) <= 0 <= max(ends):
        axes.axvline(0, color=GREY, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color="#e6e6e6")


def draw_contexts(task: Task, board: pd.DataFrame) -> Figure:
    """Draw the headline as a heatmap, model × context, the ceiling beneath; hatched where a model has no value."""
    lead = lead_metric(board)
    rows = board[
        (board["level"] == "context")
        & (board["metric"] == lead)
        & ((board["kind"] == "model") | (board["model"] == "ceiling"))
    ]
    order = [model for model in ordered_models(board, lead)["model"] if model in set(rows["model"])]
    values = rows.pivot(index="model", columns="context", values="mean").loc[order]
    references = set(rows.loc[rows["kind"] == "reference", "model"])
    figure = new_figure(1.7 + 0.36 * len(values))
    axes = figure.subplots()
    reach = max(float(np.nanmax(np.abs(values.to_numpy()))) if values.notna().any(axis=None) else 1.0, 1e-6)
    small = values.shape[1] > _MANY
    places = 2 if small else min(decimals(rows["mean"]), 3)
    copied = set(rows.loc[rows["status"].isin(FAILED), ["model", "context"]].itertuples(index=False, name=None))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    figure.colorbar(image, ax=axes, label=lead, shrink=0.9)
    _write_values(axes, image, values, copied, places)
    first = next((place for place, model in enumerate(order) if model in references), None)
    if first:
        axes.axhline(first - 0.5, color=REFERENCE, linewidth=2)
    axes.set_yticks(range(len(order)), [f"{model} (reference)" if model in references else model for model in order])
    axes.set_xticks(
        range(values.shape[1]),
        values.columns,
        rotation=40 if small else 0,
        ha="right" if small else "center",
        rotation_mode="anchor" if small else "default",
    )
    axes.set(xlabel="context", ylabel="")
    set_title(figure, f"{lead} per context; n/a: declined; †: failed, scored as no_change", task)
    return figure


def _write_values(
    axes: Axes, image: AxesImage, values: pd.DataFrame, copied: set[tuple[str, str]], places: int
) -> None:
    """Write each value [model, context] into its cell: hatched where there is none, † where it is no_change's."""
    for (i, j), value in np.ndenumerate(values.to_numpy()):
        if np.isnan(value):
            axes.add_patch(
                Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#f2f2f2", edgecolor="#b5b5b5", hatch="///", linewidth=0)
            )
        mark = "†" if (values.index[i], values.columns[j]) in copied else ""
        text = "n/a" if np.isnan(value) else number(value, places) + mark
        colour = "black" if np.isnan(value) else readable_on(image.to_rgba(value))
        write_in_cell(axes, (i, j), text, colour, fontsize=8 if values.shape[1] > _MANY else 9)


def draw_copying(task: Task, board: pd.DataFrame, settled: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Draw sim(t, p) against sim(i, p), one panel per model and one dot per condition; None without the audit metrics.

    The mean of sim(i, t) is drawn on both axes: a copy of the input lies where the horizontal line meets the right
    edge, the truth itself where the vertical line meets the upper edge.
    """
    audit = settled["metric"].isin((*_TRIANGLE, "copies_input"))
    own = settled[audit & settled["own"] & (settled["kind"] == "model")]
    labels = ["model", "context", "condition"]
    own = own[[*labels, "metric", "value"]].astype(dict.fromkeys((*labels, "metric"), object))
    points = own.pivot(index=labels, columns="metric", values="value")
    if not set(_TRIANGLE) <= set(points.columns):
        return None
    points = points.dropna(subset=list(_TRIANGLE)).reset_index()
    order = [model for model in ordered_models(board, lead_metric(board))["model"] if model in set(points["model"])]
    figure, panels = grid_of_panels(len(order), 1.5)
    n_columns = min(4, len(order))
    low = float(points[list(_TRIANGLE)].min(axis=None))
    edge = low - 0.05 * (1 - low)
    for place, (axes, model) in enumerate(zip(panels, order, strict=True)):
        _draw_triangle(axes, points[points["model"] == model], edge, colours[model])
        axes.set_title(_flagged(model, points), fontsize=9)
        if place + n_columns >= len(order):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("sim(input, prediction)", fontsize=9)
        if place % n_columns == 0:
            axes.set_ylabel("sim(truth, prediction)", fontsize=9)
    legend_below(figure, panels[0], ncols=3)
    set_title(figure, "Input-copy audit, a dot per condition; sim: squared Pearson correlation of mean profiles", task)
    return figure


def _flagged(model: str, points: pd.DataFrame) -> str:
    """Name a model and the share of its conditions flagged as copies, where that was computed."""
    flags = points.loc[points["model"] == model, "copies_input"] if "copies_input" in points else pd.Series(dtype=float)
    return model if flags.isna().all() else f"{model}\nflagged as copies: {100 * flags.mean():.0f} %"


def _draw_triangle(axes: Axes, points: pd.DataFrame, edge: float, colour: str) -> None:
    """Draw one panel; the shaded side below the diagonal is that of copying."""
    top = 1 + 0.04 * (1 - edge)
    axes.fill_between(
        [edge, top], [edge, top], edge, color="#eeeeee", linewidth=0, label="side of copying: nearer the input"
    )
    axes.plot([edge, top], [edge, top], color=GREY, linewidth=1, linestyle="--", label="equally near")
    middle = float(points["sim_it"].mean())
    axes.axhline(middle, color=GREY, linewidth=0.8, linestyle=":", label="mean sim(input, truth)")
    axes.axvline(middle, color=GREY, linewidth=0.8, linestyle=":")
    axes.scatter(points["sim_ip"], points["sim_tp"], s=12, color=colour, alpha=0.7, linewidths=0)
    axes.set(xlim=(edge, top), ylim=(edge, top), aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(3))


def draw_time(task: Task, board: pd.DataFrame, costs: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Draw the headline against seconds to fit; None where no ranked model has a recorded cost."""
    lead = lead_metric(board)
    rows = ordered_models(board, lead)
    models = rows[(rows["kind"] == "model") & rows["mean"].notna()].join(costs, on="model").dropna(subset="fit_seconds")
    if models.empty:
        return None
    figure = new_figure(4.6)
    axes = figure.subplots()
    times = models["fit_seconds"].clip(lower=_SHORTEST)
    for second, (_, row) in zip(times, models.iterrows(), strict=True):
        axes.errorbar(
            second,
            row["mean"],
            yerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]],
            fmt="o",
            markersize=8,
            color=colours[row["model"]],
            elinewidth=1.2,
            alpha=0.9,
        )
    for _, row in rows[(rows["model"] == "ceiling") & rows["mean"].notna()].iterrows():
        axes.axhspan(row["low"], row["high"], color=REFERENCE, alpha=0.08, linewidth=0)
        axes.axhline(row["mean"], color=REFERENCE, linestyle="--", linewidth=1.2, label="ceiling (reference)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", fontsize=9)
    axes.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(_SHORTEST / 2, max(float(times.max()), 10.0) * 6)
    ticks = [0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s" if value < 60 else seconds(value)))
    axes.set(xlabel=f"time to fit (mean over folds and seeds; below {_SHORTEST:g} s drawn there)", ylabel=lead)
    better = "upper left is better; " if lead == HEADLINE else ""
    set_title(figure, f"Time against {lead}: {better}bars are 95 % intervals", task)
    place_labels(
        axes,
        np.column_stack([times, models["mean"]]),
        list(models["model"]),
        list(zip(models["low"], models["high"], strict=True)),
    )
    return figure
