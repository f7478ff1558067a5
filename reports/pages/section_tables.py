"""The tables of the page: the headline of a task, and one table per family of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.formatting import decimals, markdown_table, number, seconds, with_interval
from reports.stats.ranks import ALPHA
from reports.task_labels import BRACKETS, Task, fit_costs, lead_metric, ordered_models

BESIDE = ("mse", "r2_pearson", "pds_cosine", "des", "e_distance")
"""Metrics beside the headline; all others are in the tables of their families."""
_FAMILIES = {
    "profile": "Profile",
    "change": "Change from control",
    "retrieval": "Retrieval",
    "expression": "Differential expression",
    "distribution": "Distribution",
    "audit": "Input-copy audit",
    "metrics": "All metrics",
}


def arrows(metrics: pd.DataFrame) -> dict[str, str]:
    """Return which way is better of each metric: "↑", "↓", or "" where it only describes."""
    return {
        row.metric: "" if pd.isna(row.best) else "↑" if row.higher_is_better else "↓" for row in metrics.itertuples()
    }


def headline_table(
    task: Task, board: pd.DataFrame, metrics: pd.DataFrame, costs: pd.DataFrame, marks: Mapping[str, str]
) -> str:
    """Write the table that ranks a task's models, with the meaning of its signs beneath."""
    lead = lead_metric(board)
    leaders = ordered_models(board, lead)
    others = [metric for metric in BESIDE if metric != lead and metric in set(board["metric"])]
    arrow = arrows(metrics)
    places = decimals_of(board)
    fits = fit_costs(costs, task)
    cells = _cells(board, places)
    titles = [f"{metric} {arrow[metric]}{marks.get(metric, '')}" for metric in (lead, *others)]
    header = ["rank", "model", titles[0], "scaled", *titles[1:], "failed", "budget", "audit", "fit"]
    lines = []
    for _, row in leaders.iterrows():
        valued = pd.notna(row["mean"])
        lines.append(
            [
                _rank(row),
                name_of(row),
                number(row["mean"], places[lead]) if row["low"] == row["high"] else with_interval(row, places[lead]),
                number(row["scaled"], 2) if pd.notna(row["scaled"]) else "–",
                *(cells.get((row["model"], metric), "–") if valued else "–" for metric in others),
                *_facts(row),
                _fit(row["model"], fits),
            ]
        )
    signs = [
        ("≈", 0, f"≈ cannot be told from the best (paired bootstrap, Holm, p ≥ {ALPHA:g})."),
        ("†", -1, "† one training serves several rows."),
    ]
    notes = [text for sign, column, text in signs if any(sign in line[column] for line in lines)]
    return markdown_table(header, lines) + ("\n\n" + " ".join(notes) if notes else "")


def _rank(row: pd.Series) -> str:
    if not row["rank"] > 0:
        return "–"
    return f"{row['rank']:.0f}" + (" ≈" if row["rank"] > 1 and row["p_best"] >= ALPHA else "")


def _facts(row: pd.Series) -> list[str]:
    """Return failures, budget and audit of a line."""
    if row["kind"] == "reference":
        return ["–", "–", row["audit"].split(":")[0]]
    declined = f", {row['n_unsupported']} declined" if row["n_unsupported"] else ""
    return [f"{row['n_failed']}/{row['n_conditions']}{declined}", row["budget"], row["audit"].split(":")[0]]


def _fit(model: str, fits: pd.DataFrame) -> str:
    shared = " †" if bool(fits["shared_training"].get(model, False)) else ""
    return seconds(fits["fit_seconds"].get(model, float("nan"))) + shared


def family_tables(
    board: pd.DataFrame, metrics: pd.DataFrame, marks: Mapping[str, str], order: Sequence[str]
) -> list[str]:
    """Write one table per family, a line per metric and a column per model that has a value of any; best in bold.

    Parameters
    ----------
    board
        A task's rows of the leaderboard.
    metrics
        One row per metric (`tables.METRIC_COLUMNS`).
    marks
        Metric → what is written behind its name.
    order
        Models and references in the order of the columns.
    """
    suite = board[board["level"] == "suite"]
    valued = set(suite.loc[suite["mean"].notna(), "model"])
    names = suite.drop_duplicates("model").set_index("model", drop=False)
    columns = [model for model in order if model in valued]
    if not columns:
        return []
    best = {(row.model, row.metric) for row in suite.itertuples() if row.rank == 1}
    cells, arrow = _cells(board, decimals_of(board)), arrows(metrics)
    present = metrics[metrics["metric"].isin(suite["metric"])]
    parts = []
    for family in present["family"].unique():
        lines = []
        for row in present[present["family"] == family].itertuples():
            name = row.metric if row.scored else f"*{row.metric}*"
            values = [cells.get((model, row.metric), "–") for model in columns]
            bold = [
                f"**{text}**" if (model, row.metric) in best else text
                for model, text in zip(columns, values, strict=True)
            ]
            lines.append([f"{name} {arrow[row.metric]}{marks.get(row.metric, '')}", *bold])
        parts.append(f"### {_FAMILIES.get(family, family)}")
        parts.append(markdown_table(["metric", *(name_of(names.loc[model]) for model in columns)], lines, left=1))
    return [*parts, "Best ranked model in bold; metrics in italics are reported, not ranked."]


def decimals_of(board: pd.DataFrame) -> dict[str, int]:
    """Choose the decimals of each metric from the values of the models."""
    values = board["mean"].where(board["kind"] == "model")
    return {metric: decimals(values[rows]) for metric, rows in board.groupby("metric").groups.items()}


def _cells(board: pd.DataFrame, places: Mapping[str, int]) -> dict[tuple[str, str], str]:
    """Return the text of each (model, metric) at suite level: the mean, or the status where there is none."""
    suite = board[board["level"] == "suite"]
    return {
        (row.model, row.metric): row.status if pd.isna(row.mean) else number(row.mean, places[row.metric])
        for row in suite.itertuples()
    }


def name_of(row: pd.Series) -> str:
    """Return a model's name as the page writes it: references in italics, brackets marked."""
    if row["kind"] == "reference":
        return f"*{row['model']}*"
    return f"{row['model']} (*bracket*)" if row["model"] in BRACKETS else str(row["model"])
