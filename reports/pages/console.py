"""The leaderboard on the console, at the end of a run."""

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.formatting import decimals, mean_or_status, number, shorten, visible
from reports.pages.index_page import FAILURES, column_name, table_rows
from reports.task_labels import (
    BRACKETS,
    Task,
    count_failures,
    describe_trouble,
    lead_metric,
    ordered_models,
    tasks,
    why_uninformative,
)

_HEAD = 6
"""Most characters of a suite's name above a column, so that the paper's suites fit in 80 characters."""
FIGURES = f"0123456789{FAILURES}"
"""Last characters of a cell with a value."""
_BESIDE = ("r2_pearson", "mse", "pds_cosine", "e_distance")


def print_summary(leaderboard: pd.DataFrame, console: Console) -> None:
    """Print one table per task (models by rank, what is not ranked, references), and beneath it failures and missing values.

    `leaderboard` is what `aggregate.leaderboard` returned, or `tables.read_leaderboard` read back.
    """
    for task, board in tasks(leaderboard):
        lead = lead_metric(board)
        leaders = ordered_models(board, lead)
        console.print(_table(task, board, leaders, console.width))
        models = leaders[leaders["kind"] == "model"]
        troubles = {row["model"]: describe_trouble(row) for _, row in models.iterrows()}
        notes = [f"{model}: {shorten(trouble, 200)}" for model, trouble in troubles.items() if trouble]
        blunt = why_uninformative(board, lead)
        notes += [f"{lead} is uninformative here, no ranks: {blunt}"] if blunt else []
        quick = list(models.loc[(models["budget"] == "quick") & models["mean"].notna(), "model"])
        notes += [f"below the authors' training length (budget quick): {', '.join(quick)}"] if quick else []
        for note in notes:
            console.print(f"  {visible(note)}", markup=False, highlight=False)
        console.print()


def print_index(summary: pd.DataFrame, console: Console) -> None:
    """Print one table over several suites, a row a model, a column a task, from what `write_index` returned."""
    found = list(tasks(summary)) if len(summary) else []
    if not found:
        return
    simulated = [column_name(task) for task, _ in found if task.source == "simulated"]
    which = "all of them" if len(simulated) == len(found) else ", ".join(simulated)
    unfinished = ", ".join(column_name(task) for task, _ in found if task.incomplete)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for task, _ in found:
        suite = task.suite if len(task.suite) <= _HEAD else f"{task.suite[: _HEAD - 1]}."
        table.add_column(Text("\n").join(map(_text, (suite, task.direction))), justify="right", no_wrap=True)
    for row in table_rows(found):
        name, *cells = row.values()
        table.add_row(_text(name), *(cell if cell[-1:] in FIGURES or not cell else "–" for cell in cells))
    title = (
        "All suites"
        + (f"; SIMULATED: {which}" if simulated else "")
        + (f"; INCOMPLETE: {unfinished}" if unfinished else "")
    )
    console.print(visible(title), markup=False, highlight=False)
    console.print(table)
    console.print(
        f"mean of each suite's headline metric; –: no value, reasons in index.md; {FAILURES} some conditions failed; † bracket; "
        "*reference*, never ranked",
        highlight=False,
    )


def _table(task: Task, board: pd.DataFrame, leaders: pd.DataFrame, width: int) -> Table:
    """Build the table of one task, with as many metrics beside the headline as fit into `width` characters."""
    lead, suite = lead_metric(board), board[board["level"] == "suite"]
    means = suite[suite["kind"] == "model"].groupby("metric")["mean"]
    places = {metric: decimals(own) for metric, own in means}
    headline = [mean_or_status(row, places.get(lead, 3)) for _, row in leaders.iterrows()]
    beside = [metric for metric in _BESIDE if metric != lead and metric in set(suite["metric"])]
    beside = beside[: max(0, (width - 8 - leaders["model"].str.len().max() - max(map(len, headline))) // 9)]
    table = Table(
        title=Text("\n").join(map(_text, (task.title, *task.warnings))),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption_justify="left",
        caption="mean [95 % interval]; * bracket; –: no value; dim: not ranked",
    )
    for column in ("#", "model", lead, *(metric.replace("_", "_\n") for metric in beside)):
        table.add_column(Text(column), justify="left" if column == "model" else "right", no_wrap=True)
    cells = suite.set_index(["model", "metric"])["mean"]
    for text, (_, row) in zip(headline, leaders.iterrows(), strict=True):
        rank = f"{row['rank']:.0f}" if row["rank"] > 0 else ""
        others = [number(cells.get((row["model"], metric)), places.get(metric, 3)) for metric in beside]
        style = "dim" if row["kind"] == "reference" or pd.isna(row["mean"]) else None
        name = row["model"] + "*" * (row["model"] in BRACKETS) + count_failures(row)
        table.add_row(rank, _text(name), _text(text), *others, style=style)
    return table


def _text(text: str) -> Text:
    """Return a text that comes from a table as it is, without markup or what would steer the terminal."""
    return Text(visible(str(text)))
