"""The table that ranks the models of a task."""

from __future__ import annotations

import pandas as pd

from reports.formatting import markdown_table, mean_or_status, number, seconds
from reports.pages.page_sections import MARKS, Section, TaskData, model_title
from reports.stats.ranks import ALPHA
from reports.task_labels import fit_costs

BESIDE = ("mse", "r2_pearson", "pds_cosine", "des", "e_distance")
"""Metrics beside the headline; all others are in the tables of their families."""


def write(data: TaskData) -> str:
    """Write the table and the meaning of its signs."""
    others = [metric for metric in BESIDE if metric != data.lead and metric in set(data.board["metric"])]
    fits = fit_costs(data.run.tables.costs, data.task)
    places = data.places[data.lead]
    first, *rest = [data.metric_title(metric) for metric in (data.lead, *others)]
    header = ["rank", "model", first, "scaled", *rest, "failed", "budget", "audit", "fit"]
    lines = []
    for _, row in data.leaders.iterrows():
        model, exact = row["model"], row["low"] == row["high"]
        shared = " †" if bool(fits["shared_training"].get(model, False)) else ""
        lines.append(
            [
                _rank(row),
                model_title(row),
                number(row["mean"], places) if exact else mean_or_status(row, places),
                number(row["scaled"], 2),
                *(data.cells.get((model, metric), "–") if pd.notna(row["mean"]) else "–" for metric in others),
                *_facts(row),
                seconds(fits["fit_seconds"].get(model, float("nan"))) + shared,
            ]
        )
    signs = [
        ("≈", 0, f"≈ not significantly different from the best (paired bootstrap, Holm, p ≥ {ALPHA:g})."),
        ("†", -1, "† one training serves several rows."),
    ]
    notes = [text for sign, column, text in signs if any(sign in line[column] for line in lines)]
    bearers = {mark: [metric for metric, text in data.marks.items() if mark in text] for mark in MARKS}
    marks = [f"{mark} {MARKS[mark]}: {', '.join(names)}." for mark, names in bearers.items() if names]
    return "\n\n".join(filter(None, [markdown_table(header, lines), " ".join(notes), *marks]))


def _rank(row: pd.Series) -> str:
    if not row["rank"] > 0:
        return "–"
    return f"{row['rank']:.0f}" + (" ≈" if row["rank"] > 1 and row["p_best"] >= ALPHA else "")


def _facts(row: pd.Series) -> list[str]:
    """Return failures, budget and audit of a line."""
    audit = row["audit"].split(":")[0]
    if row["kind"] == "reference":
        return ["–", "–", audit]
    declined = f", {row['n_unsupported']} declined" if row["n_unsupported"] else ""
    return [f"{row['n_failed']}/{row['n_conditions']}{declined}", row["budget"], audit]


SECTION = Section("", 40, write)
