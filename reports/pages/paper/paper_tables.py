"""Counterparts of the paper's Table 1 (lines) and Table 2 (compounds)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from reports.formatting import decimals, markdown_table, number
from reports.stats.paper_scores import Results, mean_by
from reports.task_labels import BRACKETS

METRICS = ("r2_pearson", "mae", "mse")
"""What the paper's tables hold."""
LEAD = "pearson_delta"
"""Shown first, since the others score a copy of the input high."""
COMPOUNDS = ("Capecitabine", "Disulfiram", "Entacapone", "Meprednisone", "Mercaptopurine")
LINE = "K562"
NOTE = (
    "Published values are those of CycSeq, IJCAI 2025: Tables 1 and 2, and the text on Figure 3. Its R² is the squared Pearson "
    "correlation (r2_pearson here), its line MM1 is MM1S. They were measured on draws of cells that were trained on, with "
    "NK-exposed against unexposed cells as the two sides of the CROP-seq lines, after another pre-processing: they are shown for "
    "orientation, and a difference to ours is not an error of either. scGen's and GEARS's direction is not stated there; they "
    "stand with n2p."
)
COLUMNS = ("direction", "name", "dose", "model", "kind", "metric", "mean", "n_conditions", "published")


def table_of_lines(results: Results) -> pd.DataFrame:
    """Table 1 in long form (`COLUMNS`): one row per direction, line, model or reference, and metric; `name` is the line.

    `published` holds the paper's value where the cells are real, and nothing where they are simulated.
    """
    parts = [results.rows(direction, (LEAD, *METRICS), level="context") for direction in results.directions]
    table = pd.concat(parts, ignore_index=True).rename(columns={"context": "name"})
    return _with_published(results, table.assign(dose=""), "table1")


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


def published(item: str) -> pd.DataFrame:
    """Read what the paper prints in "table1", "table2" or "figure3": model, direction, name, metric, value."""
    table = pd.read_csv(Path(__file__).with_name("published.csv"))
    return table[table["item"] == item].drop(columns="item")


def _with_published(results: Results, table: pd.DataFrame, item: str) -> pd.DataFrame:
    """Add the paper's values, beside real cells only."""
    table = table.assign(published=pd.NA)
    if not results.simulated:
        keys = ["model", "direction", "name", "metric"]
        known = published(item).set_index(keys)["value"]
        named = table.assign(name=table["name"].map(plain))[keys]
        table["published"] = [known.get(key) for key in named.itertuples(index=False, name=None)]
        table.loc[table["dose"] != "", "published"] = None
    return table[list(COLUMNS)]


def plain(name: object) -> str:
    """Strip "sim_" and whatever follows the first word of a compound's name."""
    text = str(name)
    text = text[4:] if text.casefold().startswith("sim_") else text
    return text.split(" ")[0]


def of_paper(names: Iterable[str]) -> list[str]:
    """Keep the paper's five compounds, in its order; all of them where none is there."""
    found = [name for compound in COMPOUNDS for name in sorted(names) if plain(name) == compound]
    return found or sorted(names)


def lay_out(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Write one direction as Markdown: a line a model, a column a name, r2_pearson / MAE / MSE in a cell.

    The paper's own values stand in a line of their own beneath the model's, where there are any.
    """
    rows = table[(table["dose"] == "") & table["name"].isin(names)]
    rows = rows[rows.groupby("model")["mean"].transform(lambda means: means.notna().any())]
    models = rows[rows["kind"] == "model"]
    places = {metric: decimals(models.loc[models["metric"] == metric, "mean"]) for metric in METRICS}
    lead = rows[rows["metric"] == LEAD].groupby("model")["mean"].mean()
    columns = {name: f"{name}: {' / '.join(METRICS)}" for name in names}
    lines = []
    for model in _order(rows):
        own = rows[rows["model"] == model].set_index(["name", "metric"])
        line = {"model": _name(model, own), f"{LEAD}, mean": number(lead.get(model), 3)}
        lines.append(line | {title: _cell(own["mean"], name, places) for name, title in columns.items()})
        if own["published"].notna().any():
            line = {"model": "published", f"{LEAD}, mean": "not given"}
            printed = {
                title: _cell(own["published"], name, dict.fromkeys(METRICS, 3)) for name, title in columns.items()
            }
            lines.append(line | printed)
    notes = [NOTE] if rows["published"].notna().any() else []
    return "\n\n".join([markdown_table(lines, left=1), *notes])


def _order(rows: pd.DataFrame) -> list[str]:
    """Models by falling pearson_delta, those without a value after them, references last."""
    means = rows[rows["metric"] == LEAD].groupby(["kind", "model"], sort=True)["mean"].mean().reset_index()
    means = means.assign(fall=-means["mean"].fillna(-2.0), reference=means["kind"] == "reference")
    return list(means.sort_values(["reference", "fall", "model"])["model"])


def _name(model: str, rows: pd.DataFrame) -> str:
    if (rows["kind"] == "reference").any():
        return f"*{model}*"
    return f"{model} (bracket)" if model in BRACKETS else model


def _cell(values: pd.Series, name: str, places: dict[str, int]) -> str:
    """Write r2_pearson / MAE / MSE of one name; – where there is no value."""
    found = {metric: values.get((name, metric)) for metric in METRICS}
    if all(pd.isna(value) for value in found.values()):
        return "–"
    return " / ".join(number(value, places[metric]) for metric, value in found.items())
