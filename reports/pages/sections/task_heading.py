"""What a task is: its name, its warnings and its size."""

from __future__ import annotations

from reports.pages.page_sections import Section, TaskData
from reports.task_labels import why_uninformative


def write(data: TaskData) -> str:
    """Write the task's heading, size, leaks, and why its leading metric does not rank."""
    task, board = data.task, data.board
    in_contexts = (board["level"] == "context") & (board["metric"] == data.lead)
    contexts, conditions = board.loc[in_contexts, "context"].nunique(), int(data.leaders["n_conditions"].max())
    parts = ["## " + " — ".join((task.title, *task.warnings))]
    parts.append(f"Suite {task.suite}; {contexts} contexts, {conditions} conditions.")
    if task.leak:
        parts.append(f"**Result of the leakage audit:** {task.leak}. These scores do not measure generalisation.")
    reason = why_uninformative(board, data.lead)
    if reason:
        parts.append(
            f"**{data.lead} is uninformative here, so there are no ranks:** {reason}. Lines are sorted by mean."
        )
    return "\n\n".join(parts)


SECTION = Section("", 10, write)
