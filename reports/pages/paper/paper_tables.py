"""Counterparts of the paper's Table 1 (lines) and Table 2 (compounds)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.formatting import decimals, markdown_table, number
from reports.pages.paper.published import NOTE, published
from reports.stats.paper_scores import Results, mean_by
from reports.task_labels import BRACKETS

METRICS = ("r2_pearson", "mae", "mse")
"""What the paper's tables hold."""
LEAD = "pearson_delta"
"""Shown first, since the others score a copy of the input high."""
COMPOUNDS = ("Capecitabine", "Disulfiram", "Entacapone", "Meprednisone", "Mercaptopurine")
LINE = "K562"
COLUMNS = ("direction", "name", "dose", "model", "kind", "metric", "mean", "n_conditions", "published")


def table_of_lines(results: Results) -> pd.DataFrame:
    """Table 1 in long form (`COLUMNS`): one row per direction, line, model or reference, and metric; `name` is the line.

    `published` holds the paper's value where the cells are real, and nothing where they are simulated.
    """
    parts = []
    for direction in results.directions:
        rows = results.rows(direction, (LEAD, *METRICS), level="context")
        parts.append(rows.rename(columns={"context": "name"}).assign(dose=""))
    return _with_published(results, pd.concat(parts, ignore_index=True), "table1")


def table_of_compounds(results: Results) -> pd.DataFrame:
    """Table 2 in long form (`COLUMNS`): one row per direction, compound, dose, model and metric; `name` is the compound.

    Of the contexts K562 is taken, as in the paper, where it was tested; else the mean over contexts. Rows without a dose
    are the mean over doses.
    """
    rows = results.settled[results.settled["metric"].isin((LEAD, *METRICS)) & ~results.settled["left_out"]]
    lines = [context for context in sorted(set(rows["context"])) if str(context).endswith(LINE)]
    rows = rows[rows["context"].isin(lines)] if lines else rows
    keys = ["direction", "perturbation", "model", "kind", "metric"]
    over = mean_by(rows, keys).assign(dose="")
    by_dose = mean_by(rows[rows["dose"].notna()], [*keys, "dose"])
    table = pd.concat([over, by_dose] if len(by_dose) else [over], ignore_index=True)
    return _with_published(results, table.rename(columns={"perturbation": "name"}), "table2")


def _with_published(results: Results, table: pd.DataFrame, item: str) -> pd.DataFrame:
    """Add the paper's values, beside real cells only."""
    table = table.assign(published=pd.NA)
    if not results.simulated:
        known = {
            (row.model, row.direction, row.name_, row.metric): row.value
            for row in published(item).rename(columns={"name": "name_"}).itertuples()
        }
        keys = zip(table["model"], table["direction"], table["name"].map(plain), table["metric"], strict=True)
        table["published"] = [known.get(key) for key in keys]
        table.loc[table["dose"] != "", "published"] = None
    return table[list(COLUMNS)]


def plain(name: object) -> str:
    """Strip "sim_" and whatever follows the first word of a compound's name."""
    text = str(name)
    text = text[4:] if text.casefold().startswith("sim_") else text
    return text.split(" ")[0]


def of_paper(names: Sequence[str]) -> list[str]:
    """Keep the paper's five compounds, in its order; all of them where none is there."""
    found = [name for compound in COMPOUNDS for name in names if plain(name) == compound]
    return found or sorted(names)


def lay_out(table: pd.DataFrame, direction: str, names: Sequence[str]) -> str:
    """Write one direction as Markdown: a line a model, a column a name, r2_pearson / MAE / MSE in a cell.

    The paper's own values stand in a line of their own beneath the model's, where there are any.
    """
    rows = table[(table["direction"] == direction) & (table["dose"] == "") & table["name"].isin(names)]
    rows = rows[rows.groupby("model")["mean"].transform(lambda means: means.notna().any())]
    wide = rows.pivot(index="model", columns=["name", "metric"], values="mean")
    printed = rows.dropna(subset="published")
    places = {
        metric: decimals(rows.loc[(rows["metric"] == metric) & (rows["kind"] == "model"), "mean"]) for metric in METRICS
    }
    lead = rows[rows["metric"] == LEAD].groupby("model")["mean"].mean()
    lines = []
    for model in _order(rows):
        cells = [_cell(wide.loc[model], name, places) for name in names]
        first = number(lead[model], 3) if pd.notna(lead.get(model)) else "–"
        lines.append([_name(model, rows), first, *cells])
        own = printed[printed["model"] == model].pivot(index="model", columns=["name", "metric"], values="published")
        if len(own):
            lines.append(
                ["published", "not given", *(_cell(own.loc[model], n, dict.fromkeys(METRICS, 3)) for n in names)]
            )
    header = ["model", f"{LEAD}, mean", *(f"{name}: {' / '.join(METRICS)}" for name in names)]
    notes = [] if printed.empty else [NOTE]
    return "\n\n".join([markdown_table(header, lines, left=1), *notes])


def _order(rows: pd.DataFrame) -> list[str]:
    """Models by falling pearson_delta, those without a value after them, references last."""
    means = rows[rows["metric"] == LEAD].groupby(["kind", "model"], sort=True)["mean"].mean().reset_index()
    means = means.assign(fall=-means["mean"].fillna(-2.0), reference=means["kind"] == "reference")
    return list(means.sort_values(["reference", "fall", "model"])["model"])


def _name(model: str, rows: pd.DataFrame) -> str:
    if (rows.loc[rows["model"] == model, "kind"] == "reference").any():
        return f"*{model}*"
    return f"{model} (bracket)" if model in BRACKETS else model


def _cell(values: pd.Series, name: str, places: dict[str, int]) -> str:
    """Write r2_pearson / MAE / MSE of one name; – where there is no value."""
    found = [values.get((name, metric)) for metric in METRICS]
    if all(pd.isna(value) for value in found):
        return "–"
    return " / ".join(
        "–" if pd.isna(value) else number(float(str(value)), places[metric])
        for value, metric in zip(found, METRICS, strict=True)
    )
