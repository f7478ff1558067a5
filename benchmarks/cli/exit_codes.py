"""How every command ends: its exit status, and what it says with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from benchmarks.errors import BenchmarkError

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
AGAIN = "What was finished is kept: give the same command again."


@contextmanager
def exit_statuses(console: Console, interrupted: str = AGAIN) -> Iterator[None]:
    """End a command with 2 and the reason where its input is not usable, and with 130 where it is interrupted.

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


def tell_failures(console: Console, failures: int, status: int = EXIT_FAILED) -> None:
    """End a command with a status if conditions failed."""
    if failures:
        console.print(f"[red]{failures} condition(s) failed or timed out[/]; reasons are in scores.csv.")
        raise typer.Exit(status)
