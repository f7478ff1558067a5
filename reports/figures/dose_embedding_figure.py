"""Cells by dose: the PHATE picture of real and predicted cells, and the share of neighbours of the right dose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from reports.colours import REFERENCE, model_colours
from reports.figures import style
from reports.figures.enrichment_figure import ENRICHMENT_KEYS
from reports.formatting import file_name
from reports.stats.bootstrap import mean_intervals
from reports.tables import GROUP, read_table
from reports.task_labels import Task

REAL = "measured cells"
"""Name of the cells that no model made, among the models; simulated ones of a simulated suite."""
NEIGHBOUR_COLUMNS = (*ENRICHMENT_KEYS, "unit", "n_cells", "k", "n_doses", "share", "chance")
CELL_COLUMNS = (*GROUP, "context", "perturbation", "model", "dose", "unit", "x", "y")
UNITS = {"cell": "", "draw": "\nmeans of many cells, not cells", "mean": "\na mean, not cells"}
_MOST = 11


@style.settings()
def draw_embedding(folder: Path, out: Path | None = None) -> list[Path]:
    """Draw the embedding of each compound in `cells.csv`, and the shares of `neighbours.csv`; returns the paths.

    Raises
    ------
    ReportError
        A table that is missing or cannot be read.
    """
    cells = read_table(folder / "cells.csv", ("dose", "x", "y"))
    neighbours = read_neighbours(folder)
    keys, paths = ["context", "perturbation"], []
    for (context, perturbation), own in cells.groupby(keys, sort=True):
        near = neighbours.merge(own[keys].head(1), on=keys)
        figure = _draw_cells(own, near, f"{perturbation} in {context}")
        paths += style.save(figure, (out or folder) / file_name(f"phate-{context}-{perturbation}"), svg=False)
    return [*paths, *style.save(_draw_shares(neighbours), (out or folder) / "neighbours", svg=False)]


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
    models = [REAL, *sorted(set(cells["model"]) - {REAL})][: 1 + _MOST]
    doses = sorted(set(cells["dose"]))
    colours = dict(zip(doses, ["#bdbdbd", *sns.color_palette("plasma", len(doses) - 1).as_hex()], strict=True))
    figure, panels = style.grid_of_panels(len(models), 1.7, 2.1, "", "")
    panels[0].set(xlabel="PHATE 1", ylabel="PHATE 2 (no unit)")
    for axes, model in zip(panels, models, strict=True):
        axes.set(xticks=[], yticks=[])
        if model != REAL:
            real = cells[cells["model"] == REAL]
            axes.scatter(real["x"], real["y"], s=4, color="#e3e3e3", linewidths=0)
        for dose, rows in cells[cells["model"] == model].groupby("dose", sort=True):
            size, edge = (40, 0.5) if len(rows) < 5 else (8, 0)
            look: dict[str, Any] = {"color": colours[dose], "alpha": 0.9, "linewidths": edge, "edgecolors": "black"}
            axes.scatter(rows["x"], rows["y"], s=size, **look)
        axes.set_title(_title(model, neighbours[neighbours["model"] == model]), fontsize=8.5)
    for dose in doses:
        panels[0].plot([], [], "o", color=colours[dose], label=name_dose(dose))
    title = f"{what} by dose: measured cells, and predicted ones over them"
    return style.finish(figure, title, _task(cells), panels[0], ncols=len(doses))


def _task(table: pd.DataFrame) -> Task:
    return Task(*table.iloc[0][list(GROUP)].astype(str))


def _title(model: str, own: pd.DataFrame) -> str:
    """Name a model and the share of its neighbours of the right dose, mean over doses."""
    if own.empty:
        return model
    shares = f"right dose {100 * own['share'].mean():.0f} %, chance {100 * own['chance'].mean():.0f} %"
    return f"{model}{UNITS[own['unit'].iloc[0]]}\n{shares}"


def _draw_shares(neighbours: pd.DataFrame) -> Figure:
    """Draw the mean share per model and dose with its interval; chance as a line."""
    table = summarise(neighbours)
    table = table.assign(mean=100 * table["share"], low=100 * table["low"], high=100 * table["high"])
    order = table[table["model"] != REAL].groupby("model")["share"].mean().sort_values(ascending=False)
    models = [*order.index, *([REAL] if REAL in set(table["model"]) else [])]
    colours = model_colours(order.index) | {REAL: REFERENCE}
    doses = sorted(set(table["dose"]))
    figure, panels = style.row_of_panels(len(doses), 1.8 + 0.3 * len(models), sharey=True, sharex=True)
    for axes, dose in zip(panels, doses, strict=True):
        rows = table[table["dose"] == dose]
        axes.axvline(100 * rows["chance"].mean(), color=style.GREY, linestyle="--", linewidth=1.2, label="chance")
        for marker, own in (("o", rows[rows["unit"] == "cell"]), ("D", rows[rows["unit"] != "cell"])):
            style.draw_intervals(axes, own, models, colours, marker=marker)
        axes.set_title(f"asked for {name_dose(dose)}", loc="left")
        axes.set_xlabel("neighbours of that dose, %")
    units = table.drop_duplicates("model").set_index("model")["unit"]
    style.label_lines(panels[0], [m if units[m] == "cell" else f"{m} ({units[m]}s)" for m in models])
    what = (
        f"Are predicted cells nearest to measured cells of the right dose? {neighbours['k'].min():.0f} neighbours;\n"
        "bars: 95 % intervals over compounds; diamonds: means or draws, which lie where no single cell does"
    )
    return style.finish(figure, what, _task(neighbours), panels[0], ncols=1)
