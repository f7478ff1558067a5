"""Tables and sentences of the paper's page: counterparts of its tables, and what the results of a run say."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from reports.figures.dose_embedding_figure import REAL
from reports.formatting import decimals, interval, markdown_table, number, percent, shorten, with_interval
from reports.stats.paired_comparison import paired_gain
from reports.stats.paper_scores import COPY, LINE, N_BOOT, Results, mean_by
from reports.task_labels import BRACKETS, marked, why_uninformative

METRICS = ("r2_pearson", "mae", "mse")
"""What the paper's tables hold."""
LEAD = "pearson_delta"
"""Shown first, since the others score a copy of the input high."""
COMPOUNDS = ("Capecitabine", "Disulfiram", "Entacapone", "Meprednisone", "Mercaptopurine")
NOTE = (
    "Published values are those of CycSeq, IJCAI 2025: Tables 1 and 2, and the text on Figure 3. Its R² is the squared Pearson "
    "correlation (r2_pearson here), its line MM1 is MM1S. They were measured on draws of cells that were trained on, with "
    "NK-exposed against unexposed cells as the two sides of the CROP-seq lines, after another pre-processing: they are shown for "
    "orientation, and a difference to ours is not an error of either. scGen's and GEARS's direction is not stated there; they "
    "stand with n2p."
)
COLUMNS = ("direction", "name", "dose", "model", "kind", "metric", "mean", "n_conditions", "published")
_WAYS = {"n2p": "control to perturbed (n2p)", "p2n": "perturbed to control (p2n)"}


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
        line = {"model": marked(model, own["kind"].iloc[0], " (bracket)"), f"{LEAD}, mean": number(lead.get(model), 3)}
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


def _cell(values: pd.Series, name: str, places: dict[str, int]) -> str:
    """Write r2_pearson / MAE / MSE of one name; – where there is no value."""
    found = {metric: values.get((name, metric)) for metric in METRICS}
    if all(pd.isna(value) for value in found.values()):
        return "–"
    return " / ".join(number(value, places[metric]) for metric, value in found.items())


def summary_of_metric(results: Results, direction: str, metric: str) -> str:
    """Name the best model of a metric, and the scores of trivial predictions and of the split half."""
    rows = results.rows(direction, [metric]).set_index("model")
    models = rows[(rows["kind"] == "model") & rows["mean"].notna()]
    learnt = models[~models.index.isin(BRACKETS)]
    if learnt.empty:
        return f"In {metric}, {_WAYS[direction]}, no model has a value."
    places = decimals(models["mean"])
    best = learnt.iloc[0]
    text = f"In {metric}, {_WAYS[direction]}, the best mean is that of {best.name}, "
    text += with_interval(best["mean"], best["low"], best["high"], places)
    beside = [
        f"{what} {number(rows.loc[name, 'mean'], places)}"
        for name, what in (
            (COPY, "copying the input"),
            ("train_mean", "the mean effect"),
            ("split_half", "the split half"),
        )
        if name in rows.index and pd.notna(rows.loc[name, "mean"])
    ]
    text += f"; beside it {', '.join(beside)}." if beside else "."
    blunt = why_uninformative(results.board[results.board["direction"] == direction], metric)
    return text + (f" It is uninformative here, so there are no ranks: {blunt}." if blunt else "")


def declined_models(results: Results, direction: str) -> str:
    """Name the models without a value in a direction, and why; "" where all have one."""
    rows = results.rows(direction, ["pearson_delta"])
    missing = rows[(rows["kind"] == "model") & rows["mean"].isna()]
    if missing.empty:
        return ""
    parts = [
        f"{', '.join(own['model'])} ({shorten(str(reason), 120)})"
        for reason, own in missing.groupby("reason", sort=True)
    ]
    return f"Without a value: {'; '.join(parts)}."


def losses_to_copying(suite: str, results: Results) -> list[str]:
    """List for every direction the models that are worse than a copy of the input, by metric; one sentence where none is."""
    where = f"{suite} (simulated)" if results.simulated else suite
    sentences = []
    for direction in results.directions:
        parts = []
        for matrix in results.matrices(direction, (LEAD, "r2_pearson", "mse", "mae")):
            models = [model for model in matrix.table()[2] if model not in BRACKETS]
            gains = {model: paired_gain(matrix, model, COPY, n_boot=N_BOOT) for model in models}
            worse = {model: gain for model, gain in gains.items() if gain is not None and gain["gain"] < 0}
            sure = [model for model, gain in worse.items() if gain["high"] < 0]
            unsure = [f"{model} (not beyond the bootstrap error)" for model in worse if model not in sure]
            if worse:
                parts.append(f"{matrix.metric}: {', '.join(sure + unsure)}")
        if parts:
            sentences.append(f"{where}, {_WAYS[direction]}: worse than `no_change` in {'; in '.join(parts)}.")
    return sentences or [f"{where}: none; every model is better than `no_change` or equal to it."]


def calibration_sentence(results: Results) -> str:
    """Count the informative metrics, and write the scaled values of the split half and the oracle."""
    parts = []
    for direction in results.directions:
        board = results.board[(results.board["direction"] == direction) & (results.board["level"] == "suite")]
        scaled = board.dropna(subset="scaled")
        half, oracle = (scaled.loc[scaled["model"] == name, "scaled"] for name in ("split_half", "oracle"))
        if half.empty:
            parts.append(f"{direction}: no metric is informative, so nothing is scaled")
            continue
        text = f"{direction}: {len(half)} metrics are informative; scaled, the split half is at {_span(half)}"
        parts.append(text + (f" and the oracle at {_span(oracle)}" if len(oracle) else ""))
    return "; ".join(parts) + "."


def _span(values: pd.Series) -> str:
    low, high = number(values.min(), 2), number(values.max(), 2)
    return low if low == high else f"{low} to {high}"


def summary_of_triangle(table: pd.DataFrame) -> str:
    """Name the models nearer the target than cells like the input, and those flagged as copies, in one direction of Figure 3."""
    own = table[(table["kind"] == "model") & ~table["model"].isin(BRACKETS)]
    if own.empty:
        return "No model has a value."
    means = own.groupby("model")[["sim_tp", "sim_ip", "copy_margin"]].mean()
    flagged = own.groupby("model")["copies_input"].mean() if "copies_input" in own else pd.Series(dtype=float)
    nearer = ", ".join(sorted(means.index[means["copy_margin"] > 0])) or "no model"
    best = means.loc[means["copy_margin"].idxmax()]
    text = f"Nearer the target than other cells of the input's state on average: {nearer}; the widest margin has {best.name}, "
    text += f"{number(best['copy_margin'], 3)} (sim(target, output) {number(best['sim_tp'], 2)})."
    copies = ", ".join(sorted(flagged.index[flagged > 0]))
    return text + (f" Flagged as copies on some gene: {copies}." if copies else " None is flagged as a copy.")


def blocks_of_stages(table: pd.DataFrame) -> Iterator[str]:
    """Write a sentence on what fine-tuning adds over all lines, and the table of every line."""
    whole = table[table["context"] == ""]
    better, worse = (
        ", ".join(f"{row.model} {row.metric}" for row in rows.itertuples()) or "nothing"
        for rows in (whole[whole["low"] > 0], whole[whole["high"] < 0])
    )
    yield f"Over all lines, fine-tuning is better beyond the bootstrap error in: {better}; worse in: {worse}."
    lines = [
        {"model": str(row.model), "metric": str(row.metric), "line": str(row.context) or "all lines"}
        | {"pre-trained": number(row.pretrained, 4), "fine-tuned": number(row.finetuned, 4)}
        | {"gain": with_interval(row.gain, row.low, row.high, 4), "p (Wilcoxon, Holm)": f"{row.p_holm:.2g}"}
        for row in table.itertuples()
    ]
    yield markdown_table(lines, left=3)


def blocks_of_doses(table: pd.DataFrame) -> Iterator[str]:
    """Write how many neighbours of predicted cells are of the predicted dose: a sentence on the best model, and a table."""
    means = table.groupby("model")[["share", "chance"]].mean()
    best = means.drop(index=REAL, errors="ignore").sort_values("share", ascending=False).iloc[0]
    text = f"Of the nearest measured neighbours of the cells {best.name} predicts, {100 * best['share']:.0f} % are of the predicted "
    text += f"dose; chance gives {100 * best['chance']:.0f} %"
    real = f", measured cells of that dose {100 * means.loc[REAL, 'share']:.0f} %" if REAL in means.index else ""
    yield f"{text}{real}."
    lines = [
        {"model": str(row.model), "unit": str(row.unit), "dose of the prediction": f"{row.dose:g} nM"}
        | {"right dose": f"{100 * row.share:.0f} %" + interval(100 * row.low, 100 * row.high, 0)}
        | {"chance": percent(row.chance)}
        for row in table.sort_values(["dose", "share"], ascending=[True, False]).itertuples()
    ]
    yield markdown_table(lines)


def blocks_of_enrichment(agreement: pd.DataFrame) -> Iterator[str]:
    """Write how well predicted enrichment agrees with the truth's: the number of conditions, and a table of models."""
    yield f"Means over {len(agreement[['context', 'perturbation', 'dose']].drop_duplicates())} conditions."
    means = agreement.groupby("model")[["spearman_nes", "top_overlap", "top_chance", "sign_share"]].mean()
    lines = [
        {"model": str(row.Index), "Spearman of NES with the truth's": number(row.spearman_nes, 2)}
        | {"top sets shared": percent(row.top_overlap), "chance": percent(row.top_chance)}
        | {"right sign of significant sets": percent(row.sign_share)}
        for row in means.sort_values("spearman_nes", ascending=False).itertuples()
    ]
    yield markdown_table(lines, left=1)
