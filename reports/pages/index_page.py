"""Several suites on one page: a table of all models, and links to the page of each suite."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reports.formatting import (
    link,
    markdown_table,
    number,
    plain_table,
    plain_text,
    save_page,
    save_table,
    seconds,
    shorten,
)
from reports.pages.sections.task_summary import sentences_below_trivial
from reports.tables import read_leaderboard
from reports.task_labels import Task, headline, lead_metric, marked, ordered_models, tasks, why_uninformative

FAILURES = "‡"
"""Mark of a mean in which some conditions failed."""
_READING = (
    "Mean of each suite's headline metric; 0 is copying the input, *references* are never ranked, † brackets, "
    f"{FAILURES} some conditions failed and count as no_change. Models are compared within a column, never across: "
    "intervals, ranks and reasons are on each suite's page."
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
    waiting: bool = False
    """Whether it has not come to its end: it was stopped, or others come first."""


def write_index(entries: Sequence[Entry], out: Path) -> pd.DataFrame:
    """Write `summary.csv` and `index.md` of several suites, those that could not be run too, to the folder `out`.

    Returns the rows of level suite of every leaderboard, all metrics.
    """
    pages = [entry.folder / "leaderboard.csv" for entry in entries if not entry.problem]
    boards = [read_leaderboard(path) for path in pages if path.is_file()]  # none of one that waits for the first time
    summary = pd.concat(boards, ignore_index=True) if boards else pd.DataFrame(columns=["level"])
    summary = summary[summary["level"] == "suite"]
    save_table(summary, out / "summary.csv")
    found = list(tasks(plain_table(summary))) if len(summary) else []
    lines = ["# All suites", _incomplete(entries, found), *(_entry(entry, out) for entry in entries)]
    if found:
        lines += ["## Change from the start, all models", _READING, markdown_table(table_rows(found), left=1)]
        lines += [text for task, board in found for text in _notes(task, board)]
    save_page(lines, out / "index.md")
    return summary


def table_rows(found: Sequence[tuple[Task, pd.DataFrame]]) -> list[dict[str, str]]:
    """Return one row per model and one column per task: models in the order of their mean rank, then references."""
    leaders = {column_name(task): ordered_models(board, lead_metric(board)).set_index("model") for task, board in found}
    kinds = pd.concat([rows["kind"] for rows in leaders.values()])
    ranks = pd.concat([rows["mean"].rank(ascending=False, pct=True) for rows in leaders.values()], axis=1)
    places = ranks.mean(axis=1).fillna(2.0)  # models without a value anywhere come last
    texts = {
        column: (rows["mean"].map(lambda mean: number(mean, 3)) + np.where(rows["n_failed"] > 0, FAILURES, "")).where(
            rows["mean"].notna(), rows["status"]
        )
        for column, rows in leaders.items()
    }
    references = set(kinds.index[kinds == "reference"])
    return [
        {"model": marked(name, "reference" if name in references else "model", " †")}
        | {column: cells.get(name, "") for column, cells in texts.items()}
        for name in sorted(places.index, key=lambda name: (name in references, places[name], name))
    ]


def column_name(task: Task) -> str:
    """Head of a task's column: suite, direction, and whether the cells are simulated."""
    return f"{task.suite} {task.direction}{' (simulated)' if task.source == 'simulated' else ''}"


def _incomplete(entries: Sequence[Entry], found: Sequence[tuple[Task, pd.DataFrame]]) -> str:
    """Say which suites have not come to their end; "" where all have."""
    waiting = [entry.suite for entry in entries if entry.waiting]
    waiting += sorted({task.suite for task, _ in found if task.incomplete} - set(waiting))
    if not waiting:
        return ""
    return f"**INCOMPLETE:** {len(waiting)} of {len(entries)} suites have not come to their end: {', '.join(waiting)}."


def _entry(entry: Entry, out: Path) -> str:
    suite = plain_text(entry.suite)
    if entry.problem:
        return f"## {suite}\n\nNot run. {plain_text(entry.problem)}"
    path = entry.folder / "leaderboard.md"
    if entry.waiting:
        so_far = f" {link('Leaderboard so far', path.relative_to(out))}." if path.is_file() else ""
        return f"## {suite}\n\nNot finished.{so_far}"
    page = link("Leaderboard", path.relative_to(out))
    failed = f" **{entry.failures} condition(s) failed or timed out.**" if entry.failures else ""
    title = plain_text(entry.title if entry.title.endswith("?") else f"{entry.title}.")
    return f"## {suite}\n\n{title} {seconds(entry.seconds)}. {page}.{failed}"


def _notes(task: Task, board: pd.DataFrame) -> list[str]:
    """Write why a task's metric is uninformative, and which models are below a trivial prediction."""
    blunt = why_uninformative(board, lead_metric(board))
    found = [f"{headline(board)}: {shorten(blunt, 300)}"] if blunt else []
    return [f"**{column_name(task)}**: {text}." for text in (*found, *sentences_below_trivial(board))]
