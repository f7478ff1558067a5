"""A plan run in front of a person: with its progress on the console."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from benchmarks.cli.exit_codes import say
from benchmarks.cli.progress import Display
from benchmarks.errors import StoreError
from benchmarks.execution.manifest import read_manifest
from benchmarks.execution.plan import Plan, make_jobs
from benchmarks.execution.runner import Result, run


def watched(
    plan: Plan, folder: Path, console: Console, *, workers: int, timeout: float | None = None, figures: bool = True
) -> Result:
    """Run a plan (`runner.run`) with its progress on the console."""
    with Display(console, len(make_jobs(plan, folder, folder))) as display:
        return run(plan, folder, workers=workers, timeout=timeout, figures=figures, watch=display, tell=display.scoring)


def go_on(plan: Plan, folder: Path, console: Console, *, workers: int) -> int:
    """Run a plan, or go on with it; returns how many conditions failed.

    Raises
    ------
    StoreError
        The folder holds a run of something else.
    """
    if folder.is_dir() and read_manifest(folder).get("key", plan.key) != plan.key:
        raise StoreError(f"{folder} holds a run of other data, splits or settings; choose another --out.")
    say(console, f"{folder.parent.name}/{folder.name}: {len(plan.splits)} fold(s)")
    return watched(plan, folder, console, workers=workers, figures=False).failures
