"""Cells by dose: the PHATE picture of real and predicted cells, and the share of neighbours of the right dose."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.style import (
    GREY,
    REFERENCE,
    draw_mean,
    grid_of_panels,
    label_lines,
    legend_below,
    model_colours,
    new_figure,
    save,
    set_title,
    settings,
)
from reports.stats.bootstrap import mean_intervals
from reports.tables import GROUP, read_table
from reports.task_labels import Task

REAL = "measured cells"
"""Name of the cells that no model made, among the models; simulated ones of a simulated suite."""
NEIGHBOUR_COLUMNS = (
    *GROUP,
    "fold",
    "context",
    "perturbation",
    "dose",
    "model",
    "unit",
    "n_cells",
    "k",
    "n_doses",
    "share",
    "chance",
)
CELL_COLUMNS = (*GROUP, "context", "perturbation", "model", "dose", "unit", "x", "y")
UNITS = {"cell": "", "draw": "\nmeans of many cells, not cells", "mean": "\na mean, not cells"}
_MOST = 11


def draw_embedding(folder: Path, out: Path | None = None) -> list[Path]:
    """Draw the embedding of each compound in `cells.csv`, and the shares of `neighbours.csv`; returns the paths.

    Raises
    ------
    ReportError
        A table that is missing or cannot be read.
    """
    cells = read_table(folder / "cells.csv", ("dose", "x", "y"))
    neighbours = read_neighbours(folder)
    paths = []
    with settings():
        for (context, perturbation), own in cells.groupby(["context", "perturbation"], sort=True):
            figure = _draw_cells(own, neighbours, f"{perturbation} in {context}")
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"phate-{context}-{perturbation}")
            paths += save(figure, (out or folder) / name, svg=False)
        paths += save(_draw_shares(neighbours), (out or folder) / "neighbours", svg=False)
    return paths


def read_neighbours(folder: Path) -> pd.DataFrame:
    """Read `neighbours.csv`."""
    return read_table(folder / "neighbours.csv", ("dose", "n_cells", "k", "n_doses", "share", "chance"))


def summarise(neighbours: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Average shares over compounds, then contexts: model, unit, dose, share with 95 % interval, chance, n_conditions."""
    rows = []
    for (model, unit, dose), own in neighbours.groupby(["model", "unit", "dose"], sort=True):
        own = own.sort_values(["context", "perturbation"])
        values = own[["share", "chance"]].to_numpy(dtype=float)
        means, low, high = mean_intervals(values, own["context"].to_numpy(), n_boot=n_boot, seed=seed)
        labels = {"model": model, "unit": unit, "dose": dose, "n_conditions": len(own)}
        rows.append(labels | {"share": means[0], "low": low[0], "high": high[0], "chance": means[1]})
    return pd.DataFrame(rows)


def name_dose(dose: float) -> str:
    """Write a dose in nM or µM; 0 is the control."""
    if dose == 0:
        return "control"
    return f"{dose:g} nM" if dose < 1000 else f"{dose / 1000:g} µM"


def _draw_cells(cells: pd.DataFrame, neighbours: pd.DataFrame, what: str) -> Figure:
    """Draw one panel for the real cells and one per model, predicted cells over the real ones in grey."""
    first = cells.iloc[0]
    own = neighbours[
        (neighbours["context"] == first["context"]) & (neighbours["perturbation"] == first["perturbation"])
    ]
    models = [REAL, *sorted(set(cells["model"]) - {REAL})][: 1 + _MOST]
    doses = sorted(set(cells["dose"]))
    colours = dict(zip(doses, ["#bdbdbd", *sns.color_palette("plasma", len(doses) - 1).as_hex()], strict=True))
    figure, panels = grid_of_panels(len(models), 1.7)
    for axes, model in zip(panels, models, strict=True):
        _draw_panel(axes, cells, model, colours)
        axes.set_title(_title(model, own), fontsize=8.5)
    panels[0].set(xlabel="PHATE 1", ylabel="PHATE 2 (no unit)")
    handles = [panels[0].plot([], [], "o", color=colours[d], label=name_dose(d))[0] for d in doses]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(doses), fontsize=9)
    set_title(
        figure, f"{what} by dose: measured cells, and predicted ones over them", Task(*(str(first[c]) for c in GROUP))
    )
    return figure


def _draw_panel(axes: Axes, cells: pd.DataFrame, model: str, colours: dict[float, str]) -> None:
    real = cells[cells["model"] == REAL]
    axes.set(xticks=[], yticks=[])
    if model != REAL:
        axes.scatter(real["x"], real["y"], s=4, color="#e3e3e3", linewidths=0)
    for dose, rows in cells[cells["model"] == model].groupby("dose", sort=True):
        few = len(rows) < 5
        axes.scatter(
            rows["x"],
            rows["y"],
            s=40 if few else 8,
            color=colours[float(dose)],
            alpha=0.9,
            linewidths=0.5 if few else 0,
            edgecolors="black",
        )


def _title(model: str, neighbours: pd.DataFrame) -> str:
    """Name a model and the share of its neighbours of the right dose, mean over doses."""
    own = neighbours[neighbours["model"] == model]
    if own.empty:
        return model
    unit = UNITS[str(own["unit"].iloc[0])]
    return f"{model}{unit}\nright dose {100 * own['share'].mean():.0f} %, chance {100 * own['chance'].mean():.0f} %"


def _draw_shares(neighbours: pd.DataFrame) -> Figure:
    """Draw the mean share per model and dose with its interval; chance as a line."""
    table = summarise(neighbours)
    doses = sorted(set(table["dose"]))
    order = table[table["model"] != REAL].groupby("model")["share"].mean().sort_values(ascending=False)
    models = [*order.index, *([REAL] if REAL in set(table["model"]) else [])]
    colours = model_colours([m for m in models if m != REAL]) | {REAL: REFERENCE}
    figure = new_figure(1.8 + 0.3 * len(models))
    panels = figure.subplots(1, len(doses), sharey=True, sharex=True, squeeze=False)[0]
    units = table.drop_duplicates("model").set_index("model")["unit"]
    for axes, dose in zip(panels, doses, strict=True):
        rows = table[table["dose"] == dose].set_index("model")
        axes.axvline(100 * rows["chance"].mean(), color=GREY, linestyle="--", linewidth=1.2, label="chance")
        for place, model in enumerate(models):
            if model in rows.index:
                row = rows.loc[model]
                summary = (100 * row["share"], 100 * row["low"], 100 * row["high"])
                marker = "o" if row["unit"] == "cell" else "D"
                draw_mean(axes, place, summary, colours[model], linewidth=2.2, marker=marker)
        axes.set_title(f"asked for {name_dose(dose)}", loc="left")
        axes.set_xlabel("neighbours of that dose, %")
        axes.grid(axis="y", color="#e6e6e6")
    label_lines(panels[0], [m if units[m] == "cell" else f"{m} ({units[m]}s)" for m in models])
    legend_below(figure, panels[0], ncols=1)
    first = neighbours.iloc[0]
    k = int(neighbours["k"].min())
    set_title(
        figure,
        f"Are predicted cells nearest to measured cells of the right dose? {k} neighbours;\n"
        "bars: 95 % intervals over compounds; diamonds: means or draws, which lie where no single cell does",
        Task(*(str(first[c]) for c in GROUP)),
    )
    return figure
