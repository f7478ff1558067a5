"""Several suites on one page: a table of all models, and links to the page of each suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reports.formatting import markdown_table, number, save_page, save_table, seconds, shorten
from reports.pages.trivial_baselines import sentences_below_trivial
from reports.tables import read_leaderboard
from reports.task_labels import BRACKETS, Task, headline, lead_metric, ordered_models, tasks, why_uninformative

PLACES = 3
_READING = (
    "Mean of each suite's headline metric; 0 is copying the input, *references* are never ranked, † brackets. Models are "
    "compared within a column, never across: intervals, ranks and reasons are on each suite's page."
)


@dataclass(frozen=True)
class Entry:
    """One suite of several."""

    suite: str
    folder: Path
    title: str = ""
    failures: int = 0
    """Conditions that failed or timed out."""
    seconds: float = float("nan")
    problem: str = ""
    """Why it could not be run; empty if it was."""


def write_index(entries: Sequence[Entry], out: Path) -> pd.DataFrame:
    """Write `summary.csv` and `index.md` of several suites.

    Parameters
    ----------
    entries
        The suites, those that could not be run too; the others' folders hold a `leaderboard.csv`.
    out
        Where the two go.

    Returns
    -------
    DataFrame
        The rows of every suite's leaderboard that the table is made of: level suite, all metrics.
    """
    boards = [read_leaderboard(entry.folder / "leaderboard.csv") for entry in entries if not entry.problem]
    summary = pd.concat(boards, ignore_index=True) if boards else pd.DataFrame(columns=["level"])
    summary = summary[summary["level"] == "suite"]
    save_table(summary, out / "summary.csv")
    found = list(tasks(summary)) if len(summary) else []
    lines = ["# All suites", *(_entry(entry, out) for entry in entries)]
    if found:
        header = ["model", *(column_name(task) for task, _ in found)]
        lines += ["## Change from the start, all models", _READING, markdown_table(header, table_rows(found), left=1)]
        lines += [text for task, board in found for text in _notes(task, board)]
    save_page(lines, out / "index.md")
    return summary


def table_rows(found: Sequence[tuple[Task, pd.DataFrame]]) -> list[list[str]]:
    """Return one row per model and one column per task: models in the order of their mean rank, then references."""
    leaders = [ordered_models(board, lead_metric(board)).set_index("model") for _, board in found]
    names = list(dict.fromkeys(name for rows in leaders for name in rows.index))
    references = {name for rows in leaders for name in rows.index[rows["kind"] == "reference"]}
    place = {name: _mean_place(name, leaders) for name in names}
    ordered = sorted(names, key=lambda name: (name in references, place[name], name))
    return [
        [_mark(name, references), *(_cell(rows.loc[name]) if name in rows.index else "" for rows in leaders)]
        for name in ordered
    ]


def column_name(task: Task) -> str:
    """Head of a task's column: suite, direction, and whether the cells are simulated."""
    return f"{task.suite} {task.direction}{' (simulated)' if task.source == 'simulated' else ''}"


def _mean_place(name: str, leaders: Sequence[pd.DataFrame]) -> float:
    """Return the mean relative rank of a model; models without a value anywhere come last."""
    places = [
        rows["mean"].rank(ascending=False, pct=True)[name]
        for rows in leaders
        if name in rows.index and pd.notna(rows.loc[name, "mean"])
    ]
    return sum(places) / len(places) if places else 2.0


def _mark(name: str, references: set[str]) -> str:
    return f"*{name}*" if name in references else f"{name} †" if name in BRACKETS else name


def _cell(row: pd.Series) -> str:
    return number(row["mean"], PLACES) if pd.notna(row["mean"]) else str(row["status"])


def _entry(entry: Entry, out: Path) -> str:
    if entry.problem:
        return f"## {entry.suite}\n\nNot run. {entry.problem}"
    page = (entry.folder / "leaderboard.md").relative_to(out).as_posix()
    failed = f" **{entry.failures} condition(s) failed or timed out.**" if entry.failures else ""
    title = entry.title if entry.title.endswith("?") else f"{entry.title}."
    return f"## {entry.suite}\n\n{title} {seconds(entry.seconds)}. [Leaderboard]({page}).{failed}"


def _notes(task: Task, board: pd.DataFrame) -> list[str]:
    """Write why a task's metric is uninformative, and which models are below a trivial prediction."""
    found = []
    blunt = why_uninformative(board, lead_metric(board))
    if blunt:
        found.append(f"{headline(board)}: {shorten(blunt, 300)}")
    return [f"**{column_name(task)}**: {text}." for text in (*found, *sentences_below_trivial(board))]
