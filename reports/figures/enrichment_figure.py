"""The enrichment plots of a run: running sums of chosen gene sets in the true change and, beside it, in predicted ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.style import GREY, grid_of_panels, save, set_title, settings
from reports.formatting import number, shorten
from reports.tables import GROUP, read_table
from reports.task_labels import BRACKETS, Task

ENRICHMENT_KEYS = (*GROUP, "fold", "context", "perturbation", "dose", "model")
TRUTH = "truth"
"""Name of the true change among the models of enrichment.csv."""
SHOWN = 3
"""Gene sets in a plot."""
_MOST_MODELS = 7
_COLOURS = (0, 1, 2, 4, 5)


def draw_enrichment(folder: Path, out: Path | None = None) -> list[Path]:
    """Draw one figure per condition from `enrichment.csv`, `agreement.csv` and `running.csv`; returns the paths.

    Raises
    ------
    ReportError
        A table that is missing or cannot be read.
    """
    tables = read_enrichment(folder)
    paths = []
    keys = [*GROUP, "fold", "context", "perturbation", "dose"]
    for key, running in tables["running"].groupby(keys, sort=True, dropna=False):
        labels = dict(zip(keys, key, strict=True))
        own = {name: _of(table, labels) for name, table in tables.items()}
        with settings():
            figure = _draw(
                Task(*(str(labels[k]) for k in GROUP)), labels, own, list(dict.fromkeys(running["gene_set"]))
            )
            paths += save(figure, (out or folder) / _stem(labels), svg=False)
    return paths


def read_enrichment(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of an enrichment: name → table."""
    numbers = {
        "enrichment": ("dose", "size", "es", "nes", "p", "fdr"),
        "agreement": ("dose", "spearman_nes", "top_overlap", "top_chance", "sign_share", "found_share"),
        "running": ("dose", "rank", "running"),
    }
    return {name: read_table(folder / f"{name}.csv", columns) for name, columns in numbers.items()}


def name_condition(labels: dict[str, object] | pd.Series) -> str:
    """Name a condition: context, perturbation and, where it has one, dose."""
    dose = labels["dose"]
    return f"{labels['context']}/{labels['perturbation']}" + ("" if pd.isna(dose) else f" {dose:g} nM")


def _stem(labels: dict[str, object]) -> str:
    text = f"{labels['direction']}-{name_condition(labels)}"
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)


def _of(table: pd.DataFrame, labels: dict[str, object]) -> pd.DataFrame:
    keep = pd.Series(True, index=table.index)
    for name, value in labels.items():
        keep &= table[name].isna() if pd.isna(value) else table[name] == value
    return table[keep]


def _draw(task: Task, labels: dict[str, object], own: dict[str, pd.DataFrame], sets: list[str]) -> Figure:
    """Draw a panel for the truth and one for each model, models by falling agreement; brackets only where there is room."""
    running, agreement = (
        own["running"],
        own["agreement"].sort_values(["spearman_nes", "model"], ascending=[False, True]),
    )
    have = set(running["model"])
    models = [m for m in agreement["model"] if m in have and m not in BRACKETS]
    models += [m for m in agreement["model"] if m in have and m in BRACKETS]
    models = models[:_MOST_MODELS]
    shown = [TRUTH, *[m for m in agreement["model"] if m in models]]
    figure, panels = grid_of_panels(len(shown), 1.9, 2.2)
    n_columns = min(4, len(shown))
    palette = sns.color_palette("colorblind").as_hex()
    colours = {name: palette[_COLOURS[n % len(_COLOURS)]] for n, name in enumerate(sets)}
    lowest = float(running["running"].min())
    for place, (axes, model) in enumerate(zip(panels, shown, strict=True)):
        _draw_panel(axes, running[running["model"] == model], own["enrichment"], colours, lowest)
        axes.set_title(_title(model, agreement), fontsize=9)
        if place + n_columns >= len(shown):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("gene, by falling change", fontsize=9)
        if place % n_columns == 0:
            axes.set_ylabel("running sum", fontsize=9)
    handles = [axes_line for axes_line in panels[0].get_lines() if axes_line.get_label() in colours]
    figure.legend(
        handles, [shorten(h.get_label(), 60) for h in handles], loc="outside lower center", ncols=1, fontsize=8.5
    )
    set_title(figure, f"Gene-set enrichment of the true and of predicted changes: {name_condition(labels)}", task)
    return figure


def _draw_panel(
    axes: Axes, running: pd.DataFrame, enrichment: pd.DataFrame, colours: dict[str, str], lowest: float
) -> None:
    """Draw the running sums of one change, the sets' genes as ticks beneath, and each set's score."""
    axes.axhline(0, color=GREY, linewidth=0.8)
    model = running["model"].iloc[0]
    scores = enrichment[enrichment["model"] == model].set_index("gene_set")
    texts = []
    for place, (name, colour) in enumerate(colours.items()):
        line = running[running["gene_set"] == name].sort_values("rank")
        if line.empty:
            continue
        axes.plot(line["rank"], line["running"], color=colour, linewidth=1.5, label=name)
        hits = line.loc[line["hit"], "rank"]
        axes.vlines(hits, lowest - 0.12 * (place + 2), lowest - 0.12 * (place + 1.15), color=colour, linewidth=0.5)
        texts.append((f"{number(scores.loc[name, 'nes'], 2)}, {_fdr(scores.loc[name, 'fdr'])}", colour))
    for place, (text, colour) in enumerate(texts):
        axes.text(
            0.98, 0.99 - 0.09 * place, text, color=colour, fontsize=7.5, ha="right", va="top", transform=axes.transAxes
        )
    axes.set_ylim(lowest - 0.12 * (len(colours) + 1.3), 1.25)
    axes.set_yticks(np.array([-0.5, 0.0, 0.5, 1.0])[np.array([-0.5, 0.0, 0.5, 1.0]) >= min(lowest, 0.0) - 0.1])


def _fdr(value: float) -> str:
    return "FDR < 0.001" if value < 0.001 else f"FDR {value:.2g}"


def _title(model: str, agreement: pd.DataFrame) -> str:
    if model == TRUTH:
        return "truth\n(NES and FDR in the panels)"
    rho = agreement.loc[agreement["model"] == model, "spearman_nes"].iloc[0]
    words = f"{model} (reference)" if model == "ceiling" else model
    return f"{words}\nagreement with truth: {number(rho, 2)}"
