"""The leaderboard on the console, at the end of a run."""

from __future__ import annotations

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from reports.index import column_name, table_rows
from reports.task import BRACKETS, Task, describe_trouble, lead_metric, ordered_models, tasks, why_uninformative
from reports.text import decimals, number, shorten, with_interval

_BESIDE = ("r2_pearson", "mse", "pds_cosine", "e_distance")


def print_summary(leaderboard: pd.DataFrame, console: Console) -> None:
    """Print one table per task (models by rank, what is not ranked, references), and beneath it what went wrong.

    Parameters
    ----------
    leaderboard
        What `aggregate.leaderboard` returned, or `tables.read_leaderboard` read back.
    console
        Where to print.
    """
    for task, board in tasks(leaderboard):
        leaders = ordered_models(board, lead_metric(board))
        console.print(_table(task, board, leaders, console.width))
        models = leaders[leaders["kind"] == "model"]
        for _, row in models.iterrows():
            trouble = describe_trouble(row)
            if trouble:
                console.print(f"  {row['model']}: {shorten(trouble, 200)}", markup=False, highlight=False)
        blunt = why_uninformative(board, lead_metric(board))
        if blunt:
            console.print(
                f"  {lead_metric(board)} is uninformative here, no ranks: {blunt}", markup=False, highlight=False
            )
        quick = list(models.loc[(models["budget"] == "quick") & models["mean"].notna(), "model"])
        if quick:
            console.print(f"  below the authors' training length (budget quick): {', '.join(quick)}", highlight=False)
        console.print()


def print_index(summary: pd.DataFrame, console: Console) -> None:
    """Print one table over several suites: a row a model, a column a task.

    Parameters
    ----------
    summary
        What `index.write_index` returned; may have no row.
    console
        Where to print.
    """
    found = list(tasks(summary)) if len(summary) else []
    if not found:
        return
    table = Table(title="All suites", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    table.caption = "mean of each suite's headline metric; † bracket; *reference*, never ranked"
    table.add_column("model", no_wrap=True)
    for task, _ in found:
        table.add_column(column_name(task).replace(" ", "\n"), justify="right")
    for row in table_rows(found):
        table.add_row(*row)
    console.print(table)


def _table(task: Task, board: pd.DataFrame, leaders: pd.DataFrame, width: int) -> Table:
    """Build the table of one task, with as many metrics beside the headline as fit into `width` characters."""
    lead = lead_metric(board)
    suite = board[board["level"] == "suite"]
    beside = [metric for metric in _BESIDE if metric != lead and metric in set(suite["metric"])]
    places = {
        metric: decimals(suite.loc[(suite["metric"] == metric) & (suite["kind"] == "model"), "mean"])
        for metric in (lead, *beside)
    }
    headline = [with_interval(row, places[lead]) for _, row in leaders.iterrows()]
    beside = beside[: max(0, (width - 8 - leaders["model"].str.len().max() - max(map(len, headline))) // 9)]
    table = Table(
        title="\n".join((task.title, *task.warnings)),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption_justify="left",
        caption="mean [95 % interval]; * bracket; –: no value; dim: not ranked",
    )
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("model", no_wrap=True)
    table.add_column(lead, justify="right", no_wrap=True)
    for metric in beside:
        table.add_column(metric.replace("_", "_\n"), justify="right", no_wrap=True)
    cells = suite.set_index(["model", "metric"])["mean"]
    for text, (_, row) in zip(headline, leaders.iterrows(), strict=True):
        others = [_cell(cells.get((row["model"], metric)), places[metric]) for metric in beside]
        style = "dim" if row["kind"] == "reference" or pd.isna(row["mean"]) else None
        table.add_row(
            f"{row['rank']:.0f}" if row["rank"] > 0 else "",
            row["model"] + "*" * (row["model"] in BRACKETS),
            text,
            *others,
            style=style,
        )
    return table


def _cell(value: float | None, places: int) -> str:
    return "–" if value is None or pd.isna(value) else number(value, places)
