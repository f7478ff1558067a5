"""The table that ranks the models of a task, tests of their order, and notes on models without values of their own."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.formatting import bullets, markdown_table, mean_or_status, number, seconds, shorten
from reports.pages.page_sections import BRACKET, MARKS, Section, TaskData
from reports.stats.ranks import ALPHA
from reports.task_labels import describe_trouble, fit_costs, marked

BESIDE = ("mse", "r2_pearson", "pds_cosine", "des", "e_distance")
"""Metrics beside the headline; all others are in the tables of their families."""
_NAMED = 6
"""Up to so many metrics are named in a note; more are counted."""


def write(data: TaskData) -> str:
    """Write the table, the meaning of its signs, the tests and the notes."""
    blocks = [*_table(data), " ".join(_order_sentences(data)), bullets(_notes(data))]
    return "\n\n".join(filter(None, blocks))


def _table(data: TaskData) -> Iterator[str]:
    others = [metric for metric in BESIDE if metric != data.lead and metric in set(data.board["metric"])]
    fits = fit_costs(data.run.tables.costs, data.task)
    places = data.places[data.lead]
    lines = []
    for _, row in data.leaders.iterrows():
        model, exact = row["model"], math.isclose(row["low"], row["high"], abs_tol=1e-12)
        rank = f"{row['rank']:.0f}" if row["rank"] > 0 else "–"
        alike = " ≈" if row["rank"] > 1 and row["p_best"] >= ALPHA else ""
        shared = " †" if bool(fits["shared_training"].get(model, False)) else ""
        cells = {metric: data.cells.get((model, metric), "–") if pd.notna(row["mean"]) else "–" for metric in others}
        lines.append(
            {"rank": rank + alike, "model": marked(model, row["kind"], BRACKET)}
            | {data.metric_title(data.lead): number(row["mean"], places) if exact else mean_or_status(row, places)}
            | {"scaled": number(row["scaled"], 2)}
            | {data.metric_title(metric): cell for metric, cell in cells.items()}
            | _facts(row)
            | {"fit": seconds(fits["fit_seconds"].get(model, float("nan"))) + shared}
        )
    yield markdown_table(lines)
    signs = {
        "rank": ("≈", f"≈ not significantly different from the best (paired bootstrap, Holm, p ≥ {ALPHA:g})."),
        "fit": ("†", "† one training serves several rows."),
    }
    yield " ".join(text for column, (sign, text) in signs.items() if any(sign in line[column] for line in lines))
    for mark, meaning in MARKS.items():
        bearers = [metric for metric, text in data.marks.items() if mark in text]
        yield f"{mark} {meaning}: {', '.join(bearers)}." if bearers else ""


def _facts(row: pd.Series) -> dict[str, str]:
    """Return failures, budget and audit of a line."""
    audit = row["audit"].split(":")[0]
    if row["kind"] == "reference":
        return {"failed": "–", "budget": "–", "audit": audit}
    declined = f", {row['n_unsupported']} declined" if row["n_unsupported"] else ""
    return {"failed": f"{row['n_failed']}/{row['n_conditions']}{declined}", "budget": row["budget"], "audit": audit}


def _order_sentences(data: TaskData) -> Iterator[str]:
    """Say the result of Friedman's test, and which subsets' order agrees least with that of the leading metric."""
    ranks = data.task.select(data.run.friedman)
    ranks = ranks[ranks["metric"] == data.lead]
    if len(ranks) and np.isfinite(ranks["p"].iloc[0]):
        first = ranks.iloc[0]
        differ = "differ" if first["p"] < ALPHA else "do not differ significantly"
        yield (
            f"Friedman's test over {first['n_conditions']} conditions: the {first['n_models']} models {differ} in {data.lead} "
            f"(χ² = {first['chi2']:.1f}, p = {first['p']:.2g}); mean ranks nearer than {first['critical_difference']:.2f} "
            "do not differ significantly (Nemenyi)."
        )
    subsets = data.task.select(data.run.sensitivity)
    subsets = subsets[subsets["by"] != "everything"].drop_duplicates(["by", "subset"]).dropna(subset="tau")
    subsets = subsets[~((subsets["by"] == "metric") & (subsets["subset"] == data.lead))]
    lowest = subsets.sort_values(["by", "tau", "subset"]).drop_duplicates("by").sort_values("tau")
    named = ", ".join(f"{row.by} {row.subset} ({number(row.tau, 2)})" for row in lowest.itertuples())
    if named:
        yield f"The order of the models agrees least with that of {data.lead} under (Kendall's τ): {named}."


def _notes(data: TaskData) -> Iterator[str]:
    """List each reason for missing values once with its models and metrics, then what was left out for every model."""
    suite = data.suite[data.suite["kind"] == "model"]
    suite = suite.assign(trouble=[shorten(describe_trouble(row), 300) for _, row in suite.iterrows()])
    troubled = suite[suite["trouble"] != ""].groupby(["model", "trouble"], sort=True)["metric"].agg(tuple).reset_index()
    everything = suite["metric"].nunique()
    for (trouble, metrics), rows in troubled.groupby(["trouble", "metric"], sort=True):
        models = ", ".join(f"`{model}`" for model in rows["model"])
        few = ", ".join(metrics) if len(metrics) <= _NAMED else f"{len(metrics)} of {everything} metrics"
        yield models + ("" if len(metrics) == everything else f" ({few})") + f": {trouble}"
    left_out = suite[suite["n_left_out"] > 0].drop_duplicates(["metric", "n_left_out"])
    for count, rows in left_out.groupby("n_left_out", sort=True):
        metrics = ", ".join(rows["metric"])
        unfinished = ", or have not been run by every model," if data.task.incomplete else ""
        yield f"{metrics}: {count} conditions have no such score{unfinished} and are left out for every model."


SECTION = Section("", 40, write)
