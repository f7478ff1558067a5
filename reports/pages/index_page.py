"""What several suites say together: one table of all models, and a page that leads to each suite's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reports.formatting import markdown_table, number, seconds, shorten
from reports.stats.floors import floor_sentences
from reports.tables import read_leaderboard
from reports.task_labels import BRACKETS, Task, headline, lead_metric, ordered_models, tasks, why_uninformative

PLACES = 3


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
    summary.to_csv(out / "summary.csv", index=False, float_format="%.6g")
    found = list(tasks(summary)) if len(summary) else []
    lines = ["# All suites", *(_entry(entry, out) for entry in entries)]
    if found:
        lines += ["## Change from the start, all models", _read_me(), models_table(found)]
        lines += [text for task, board in found for text in _words(task, board)]
    (out / "index.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return summary


def models_table(found: Sequence[tuple[Task, pd.DataFrame]]) -> str:
    """Lay out one row a model and one column a task, with the metric that orders its models."""
    header = ["model", *(column_name(task) for task, _ in found)]
    return markdown_table(header, table_rows(found), left=1)


def table_rows(found: Sequence[tuple[Task, pd.DataFrame]]) -> list[list[str]]:
    """Rows of `models_table`: models in the order of their mean rank, then references."""
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
    """Mean share of a task's models that are above one; models without a value anywhere come last."""
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


def _read_me() -> str:
    return (
        "Mean of each suite's headline metric; 0 is copying the input, *references* are never ranked, † brackets. Models are "
        "compared down a column, never across: intervals, ranks and reasons are on each suite's page."
    )


def _entry(entry: Entry, out: Path) -> str:
    if entry.problem:
        return f"## {entry.suite}\n\nNot run. {entry.problem}"
    page = (entry.folder / "leaderboard.md").relative_to(out).as_posix()
    failed = f" **{entry.failures} condition(s) failed or timed out.**" if entry.failures else ""
    title = entry.title if entry.title.endswith("?") else f"{entry.title}."
    return f"## {entry.suite}\n\n{title} {seconds(entry.seconds)}. [Leaderboard]({page}).{failed}"


def _words(task: Task, board: pd.DataFrame) -> list[str]:
    """Say what a task's column does not: that its metric tells nothing, and who lies below a floor."""
    found = []
    blunt = why_uninformative(board, lead_metric(board))
    if blunt:
        found.append(f"**{column_name(task)}**: {headline(board)}: {shorten(blunt, 300)}.")
    found += [f"**{column_name(task)}**: {sentence}." for sentence in floor_sentences(board)]
    return found
