"""Counterparts of the paper's Figures 2 (lines), 3 (triangular validation) and 4 (pre-trained and fine-tuned models)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.colours import REFERENCE, model_colours
from reports.figures import style
from reports.formatting import number
from reports.stats.paper_scores import METRICS, Results

UNITS = {"pearson_delta": "no unit", "r2_pearson": "no unit", "mae": "log2", "mse": "log2²"}
_COPY_AND_HALF = (
    ("split_half", "--", REFERENCE, "split_half (reference)"),
    ("no_change", ":", style.GREY, "copy of the input (no_change)"),
)
_TRIANGLE = {
    "sim_tp": ("#0173b2", "o", "sim(target, output)", -0.2),
    "sim_ip": ("#d55e00", "s", "sim(input, output)", 0.0),
    "sim_it": ("#949494", "D", "sim(input, target)", 0.2),
}


def draw_lines(results: Results, direction: str) -> Figure:
    """Figure 2: every metric by model, a row of panels per line, with split half and copy of the input."""
    rows = results.rows(direction, METRICS, level="context")
    rows = rows[rows["mean"].notna()]
    metrics = [metric for metric in METRICS if metric in set(rows["metric"])]
    models = rows[(rows["kind"] == "model") & (rows["metric"] == metrics[0])]
    order = list(models.groupby("model")["mean"].mean().sort_values(ascending=False).index)
    colours = model_colours(order)
    contexts = sorted(set(rows["context"]))
    figure = style.new_figure(1.6 + len(contexts) * (0.55 + 0.21 * len(order)))
    panels = figure.subplots(len(contexts), len(metrics), sharex="col", sharey=True, squeeze=False)
    for line, context in zip(panels, contexts, strict=True):
        for axes, metric in zip(line, metrics, strict=True):
            own = rows[(rows["context"] == context) & (rows["metric"] == metric)]
            style.draw_intervals(axes, own, order, colours)
            known = own.set_index("model")["mean"]
            for name, line_style, colour, label in _COPY_AND_HALF:
                if name in known:
                    axes.axvline(known[name], linestyle=line_style, color=colour, linewidth=1.1, label=label)
            axes.tick_params(axis="x", labelsize=8)
        style.label_lines(line[0], order, fontsize=8.5)
        line[0].set_title(context, loc="left")
    for axes, metric in zip(panels[-1], metrics, strict=True):
        axes.set_xlabel(f"{metric} ({UNITS[metric]})", fontsize=9)
    title = "Every model by line: mean and 95 % interval"
    return style.finish(figure, title, results.task(direction), panels[0, 0], ncols=3)


def draw_triangular(table: pd.DataFrame, results: Results, direction: str) -> Figure:
    """Figure 3: the three similarities of every model, a panel per gene; behind each the copy margin, in bold where flagged."""
    own = table[(table["direction"] == direction) & table["model"].ne("oracle")]
    names = list(dict.fromkeys(own["perturbation"]))[:4]
    means = own.groupby(["kind", "model"])["copy_margin"].mean().reset_index()
    means = means.sort_values(["kind", "copy_margin"], ascending=[True, False])
    order = list(means["model"])
    figure, panels = style.row_of_panels(len(names), 2.1 + 0.27 * len(order), sharey=True, sharex=True)
    for axes, name in zip(panels, names, strict=True):
        rows = own[own["perturbation"] == name].set_index("model").reindex(order)
        for column, (colour, marker, label, shift) in _TRIANGLE.items():
            look: dict[str, Any] = {"color": colour, "markersize": 4.5, "alpha": 0.9, "label": label}
            axes.plot(rows[column], np.arange(len(order)) + shift, marker, **look)
        for place, row in enumerate(rows.to_dict("records")):
            look = {"fontsize": 8, "va": "center", "fontweight": "bold" if row.get("copies_input") == 1 else "normal"}
            text = "" if pd.isna(row["copy_margin"]) else number(row["copy_margin"], 3)
            axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), **look)
        axes.set_title(f"{name} in {rows['context'].dropna().iloc[0]}", loc="left")
        axes.set_xlabel("r2_pearson (no unit)", fontsize=9)
        axes.grid(axis="y", color=style.RULE)
    words = means["model"].where(means["kind"] != "reference", means["model"] + " (reference)")
    style.label_lines(panels[0], list(words), fontsize=8.5)
    title = (
        "Is the output nearer the target than cells like the input? Right: copy_margin, bold where flagged as a copy"
    )
    return style.finish(figure, title, results.task(direction), panels[0], ncols=3)


def draw_stages(table: pd.DataFrame, results: Results, direction: str) -> Figure:
    """Figure 4: pre-trained and fine-tuned score of every line, a panel per metric, joined by a line."""
    own = table[(table["direction"] == direction) & (table["context"] != "")]
    metrics = [metric for metric in METRICS if metric in set(own["metric"])]
    lines = [f"{row.model}: {row.context}" for row in own[own["metric"] == metrics[0]].itertuples()]
    figure, panels = style.row_of_panels(len(metrics), 1.9 + 0.34 * len(lines), sharey=True)
    for axes, metric in zip(panels, metrics, strict=True):
        rows = own[own["metric"] == metric]
        places = np.arange(len(rows))
        axes.hlines(places, rows["pretrained"], rows["finetuned"], color="#bdbdbd", linewidth=2, zorder=1)
        axes.plot(rows["pretrained"], places, "s", color="#de8f05", markersize=6, label="pre-trained")
        axes.plot(rows["finetuned"], places, "o", color="#0173b2", markersize=6, label="fine-tuned")
        for place in np.flatnonzero(rows["p_holm"] < 0.05):
            right = rows[["pretrained", "finetuned"]].iloc[place].max()
            axes.text(right, place - 0.18, " *", fontsize=11, va="center")
        axes.set_xlabel(f"{metric} ({UNITS[metric]})", fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="y", color=style.RULE)
    style.label_lines(panels[0], lines)
    title = "What fine-tuning adds; *: p < 0.05 (paired Wilcoxon, Holm over lines and metrics)"
    return style.finish(figure, title, results.task(direction), panels[0], ncols=2)
