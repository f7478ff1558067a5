"""The enrichment plots of a run: running sums of chosen gene sets in the true change and, beside it, in predicted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures import style
from reports.formatting import file_name, number, shorten
from reports.tables import GROUP, read_table
from reports.task_labels import BRACKETS, Task

CONDITION_KEYS = (*GROUP, "fold", "context", "perturbation", "dose")
ENRICHMENT_KEYS = (*CONDITION_KEYS, "model")
TRUTH = "truth"
"""Name of the true change among the models of enrichment.csv."""
SHOWN = 3
"""Gene sets in a plot."""
_MOST_MODELS = 7
_COLOURS = [sns.color_palette("colorblind").as_hex()[place] for place in (0, 1, 2, 4, 5)]


@style.settings()
def draw_enrichment(folder: Path, out: Path | None = None) -> list[Path]:
    """Draw one figure per condition from `enrichment.csv`, `agreement.csv` and `running.csv`; returns the paths.

    Raises
    ------
    ReportError
        A table that is missing or cannot be read.
    """
    tables = read_enrichment(folder)
    keys = list(CONDITION_KEYS)
    paths = []
    for _, running in tables["running"].groupby(keys, sort=True, dropna=False):
        first = running[keys].head(1)
        own = {name: table.merge(first, on=keys) for name, table in tables.items()}
        condition = first.iloc[0]
        name = file_name(f"{condition['direction']}-{name_condition(condition)}")
        paths += style.save(_draw(condition, **own), (out or folder) / name, svg=False)
    return paths


def read_enrichment(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of an enrichment: name → table."""
    numbers = {
        "enrichment": ("dose", "size", "es", "nes", "p", "fdr"),
        "agreement": ("dose", "spearman_nes", "top_overlap", "top_chance", "sign_share", "found_share"),
        "running": ("dose", "rank", "running"),
    }
    return {name: read_table(folder / f"{name}.csv", columns) for name, columns in numbers.items()}


def name_condition(labels: pd.Series) -> str:
    """Name a condition: context, perturbation and, where it has one, dose."""
    dose = labels["dose"]
    return f"{labels['context']}/{labels['perturbation']}" + ("" if pd.isna(dose) else f" {dose:g} nM")


def _draw(condition: pd.Series, enrichment: pd.DataFrame, agreement: pd.DataFrame, running: pd.DataFrame) -> Figure:
    """Draw a panel for the truth and one for each model, models by falling agreement; brackets only where there is room."""
    agreement = agreement[agreement["model"].isin(running["model"])]
    agreement = agreement.sort_values(["spearman_nes", "model"], ascending=[False, True]).set_index("model")
    kept = sorted(agreement.index, key=BRACKETS.__contains__)[:_MOST_MODELS]
    shown = [TRUTH, *(model for model in agreement.index if model in kept)]
    figure, panels = style.grid_of_panels(len(shown), 1.9, 2.2, "gene, by falling change", "running sum")
    sets = list(dict.fromkeys(running["gene_set"]))
    lowest = float(running["running"].min())
    for axes, model in zip(panels, shown, strict=True):
        scores = enrichment[enrichment["model"] == model].set_index("gene_set")
        _draw_sums(axes, running[running["model"] == model], scores, sets, lowest)
        title = "truth\n(NES and FDR in the panels)"
        if model != TRUTH:
            words = f"{model} (reference)" if model == "split_half" else model
            title = f"{words}\nagreement with truth: {number(agreement.loc[model, 'spearman_nes'], 2)}"
        axes.set_title(title, fontsize=9)
    nearest = agreement.drop(index=["split_half"], errors="ignore")["spearman_nes"].dropna()
    finding = (
        f"{name_condition(condition)}: {nearest.idxmax()} agrees most with the truth"
        if len(nearest)
        else name_condition(condition)
    )
    what = "Gene-set enrichment of the true and of predicted changes; agreement: Spearman correlation of NES"
    task = Task(*condition[list(GROUP)].astype(str))
    return style.finish(figure, finding, what, task, panels[0], ncols=1, fontsize=8.5)


def _draw_sums(axes: Axes, running: pd.DataFrame, scores: pd.DataFrame, sets: list[str], lowest: float) -> None:
    """Draw the running sums of one change, the sets' genes as ticks beneath, and each set's score."""
    axes.axhline(0, color=style.GREY, linewidth=0.8)
    height = 0.99
    for place, name in enumerate(sets):
        line = running[running["gene_set"] == name].sort_values("rank")
        if line.empty:
            continue
        colour = _COLOURS[place % len(_COLOURS)]
        axes.plot(line["rank"], line["running"], color=colour, linewidth=1.5, label=shorten(name, 60))
        ends = lowest - 0.12 * (place + 2), lowest - 0.12 * (place + 1.15)
        axes.vlines(line.loc[line["hit"], "rank"], *ends, color=colour, linewidth=0.5)
        nes, fdr = scores.loc[name, ["nes", "fdr"]]
        text = f"{number(nes, 2)}, FDR {'< 0.001' if fdr < 0.001 else f'{fdr:.2g}'}"
        look: dict[str, Any] = {"fontsize": 7.5, "ha": "right", "va": "top", "transform": axes.transAxes}
        axes.text(0.98, height, text, color=colour, **look)
        height -= 0.09
    axes.set_ylim(lowest - 0.12 * (len(sets) + 1.3), 1.25)
    axes.set_yticks([tick for tick in (-0.5, 0.0, 0.5, 1.0) if tick >= min(lowest, 0.0) - 0.1])
