"""Counterparts of the paper's Figures 2 (lines), 3 (triangular validation) and 4 (pre-trained and fine-tuned models)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.style import (
    GREY,
    REFERENCE,
    draw_mean,
    label_lines,
    legend_below,
    model_colours,
    new_figure,
    set_title,
)
from reports.formatting import number
from reports.stats.paper_scores import METRICS, Results

UNITS = {"pearson_delta": "no unit", "r2_pearson": "no unit", "mae": "log2", "mse": "log2²"}
_TRIANGLE = {
    "sim_tp": ("#0173b2", "o", "sim(target, output)", -0.2),
    "sim_ip": ("#d55e00", "s", "sim(input, output)", 0.0),
    "sim_it": ("#949494", "D", "sim(input, target)", 0.2),
}


def draw_lines(results: Results, direction: str) -> Figure:
    """Figure 2: every metric by model, a row of panels per line, with ceiling and copy of the input."""
    rows = results.rows(direction, METRICS, level="context")
    contexts = sorted(set(rows["context"]))
    metrics = [metric for metric in METRICS if metric in set(rows["metric"])]
    models = rows[(rows["kind"] == "model") & rows["mean"].notna()]
    order = list(
        models[models["metric"] == metrics[0]].groupby("model")["mean"].mean().sort_values(ascending=False).index
    )
    colours = model_colours(order)
    figure = new_figure(1.6 + len(contexts) * (0.55 + 0.21 * len(order)))
    panels = figure.subplots(len(contexts), len(metrics), sharex="col", sharey=True, squeeze=False)
    for line, context in enumerate(contexts):
        for place, metric in enumerate(metrics):
            axes = panels[line, place]
            _draw_metric(axes, rows[(rows["context"] == context) & (rows["metric"] == metric)], order, colours)
            if line == len(contexts) - 1:
                axes.set_xlabel(f"{metric} ({UNITS[metric]})", fontsize=9)
        label_lines(panels[line, 0], order, fontsize=8.5)
        panels[line, 0].set_title(context, loc="left")
    legend_below(figure, panels[0, 0], ncols=3)
    set_title(figure, "Every model by line: mean and 95 % interval", results.task(direction))
    return figure


def _draw_metric(axes: Axes, rows: pd.DataFrame, order: list[str], colours: dict[str, str]) -> None:
    for row in rows.itertuples():
        if row.model in order:
            place = order.index(row.model)
            draw_mean(axes, place, (row.mean, row.low, row.high), colours[row.model], markersize=5)
    known = rows.set_index("model")["mean"]
    for name, style, colour in (("ceiling", "--", REFERENCE), ("no_change", ":", GREY)):
        if name in known and pd.notna(known[name]):
            label = "ceiling (reference)" if name == "ceiling" else "copy of the input (no_change)"
            axes.axvline(known[name], linestyle=style, color=colour, linewidth=1.1, label=label)
    axes.grid(axis="y", color="#eeeeee")
    axes.tick_params(axis="x", labelsize=8)


def draw_triangular(table: pd.DataFrame, results: Results, direction: str) -> Figure:
    """Figure 3: the three similarities of every model, a panel per gene; behind each the copy margin, in bold where flagged."""
    own = table[(table["direction"] == direction) & table["model"].ne("oracle")]
    names = list(dict.fromkeys(own["perturbation"]))[:4]
    means = own.groupby(["kind", "model"])["copy_margin"].mean().reset_index()
    means = means.sort_values(["kind", "copy_margin"], ascending=[True, False])
    order = list(means["model"])
    figure = new_figure(2.1 + 0.27 * len(order))
    panels = figure.subplots(1, len(names), sharey=True, sharex=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        rows = own[own["perturbation"] == name].set_index("model")
        for column, (colour, marker, label, shift) in _TRIANGLE.items():
            known = [(rows.loc[m, column], place + shift) for place, m in enumerate(order) if m in rows.index]
            axes.plot(
                *zip(*known, strict=True), marker, color=colour, markersize=4.5, alpha=0.9, label=label, linestyle=""
            )
        _write_margins(axes, rows, order)
        axes.set_title(f"{name} in {rows['context'].iloc[0]}", loc="left")
        axes.set_xlabel("r2_pearson (no unit)", fontsize=9)
        axes.grid(axis="y", color="#eeeeee")
    references = set(own.loc[own["kind"] == "reference", "model"])
    label_lines(panels[0], [f"{m} (reference)" if m in references else m for m in order], fontsize=8.5)
    legend_below(figure, panels[0], ncols=3)
    set_title(
        figure,
        "Is the output nearer the target than the input? Right: copy_margin, bold where flagged as a copy",
        results.task(direction),
    )
    return figure


def _write_margins(axes: Axes, rows: pd.DataFrame, order: list[str]) -> None:
    for place, model in enumerate(order):
        if model in rows.index and pd.notna(rows.loc[model, "copy_margin"]):
            flagged = bool(rows.loc[model].get("copies_input", 0) == 1)
            axes.text(
                1.02,
                place,
                number(rows.loc[model, "copy_margin"], 3),
                transform=axes.get_yaxis_transform(),
                fontsize=8,
                va="center",
                fontweight="bold" if flagged else "normal",
            )


def draw_stages(table: pd.DataFrame, results: Results, direction: str) -> Figure:
    """Figure 4: pre-trained and fine-tuned score of every line, a panel per metric, joined by a line."""
    own = table[(table["direction"] == direction) & (table["context"] != "")]
    metrics = [metric for metric in METRICS if metric in set(own["metric"])]
    lines = [f"{row.model}: {row.context}" for row in own[own["metric"] == metrics[0]].itertuples()]
    figure = new_figure(1.9 + 0.34 * len(lines))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for place, row in enumerate(own[own["metric"] == metric].itertuples()):
            axes.plot([row.pretrained, row.finetuned], [place, place], color="#bdbdbd", linewidth=2, zorder=1)
            axes.plot(
                row.pretrained, place, "s", color="#de8f05", markersize=6, label="pre-trained" if not place else None
            )
            axes.plot(
                row.finetuned, place, "o", color="#0173b2", markersize=6, label="fine-tuned" if not place else None
            )
            if row.p_holm < 0.05:
                axes.text(max(row.pretrained, row.finetuned), place - 0.18, " *", fontsize=11, va="center")
        axes.set_xlabel(f"{metric} ({UNITS[metric]})", fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="y", color="#eeeeee")
    label_lines(panels[0], lines)
    legend_below(figure, panels[0], ncols=2)
    set_title(
        figure,
        "What fine-tuning adds; *: p < 0.05 (paired Wilcoxon, Holm over lines and metrics)",
        results.task(direction),
    )
    return figure
