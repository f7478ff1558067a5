"""What the commands share: exit statuses, and a plan run with its progress on the console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from benchmarks.errors import BenchmarkError, StoreError
from benchmarks.manifest import read_manifest
from benchmarks.plan import Plan, make_jobs
from benchmarks.progress import Display
from benchmarks.runner import Result, run

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
AGAIN = "What was finished is kept: give the same command again."


@contextmanager
def exit_statuses(console: Console, interrupted: str = AGAIN) -> Iterator[None]:
    """End a command whose request or data are not usable with 2 and the reason, one that is interrupted with 130.

    Parameters
    ----------
    console
        Where the reason goes.
    interrupted
        What is left after Ctrl-C, and how to go on.

    Raises
    ------
    typer.Exit
        With that status.
    """
    try:
        yield
    except BenchmarkError as error:
        console.print(f"[red]{type(error).__name__}[/]: ", end="")
        say(console, str(error))
        raise typer.Exit(EXIT_USAGE) from error
    except KeyboardInterrupt as error:
        say(console, f"Interrupted. {interrupted}")
        raise typer.Exit(EXIT_INTERRUPTED) from error


def say(console: Console, text: str) -> None:
    """Print a line as it is: no markup, no highlighting, not wrapped."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def tell_failures(console: Console, failures: int) -> None:
    """End a command with 1 if conditions failed."""
    if failures:
        console.print(f"[red]{failures} condition(s) failed or timed out[/]; reasons are in scores.csv.")
        raise typer.Exit(EXIT_FAILED)


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
