"""Score what the units of a planned run have left behind, and write its tables and pages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from benchmarks.cli import options
from benchmarks.cli.console import EXIT_FAILED, say

INTERRUPTED = "Give the same command again."


def main(
    folder: Annotated[Path, Argument(help="Folder that `run --plan` made.")],
    data_dir: options.DataDir = None,
    threads: Annotated[int | None, Option(min=1, help="Threads of scoring; default: those of the plan.")] = None,
    plugin: options.Plugins = None,
    figures: Annotated[bool, Option(help="Whether to draw figures.")] = True,
) -> None:
    """Score what the units of a planned run have left behind, and write its tables and pages.

    Units that are missing make an INCOMPLETE board; the command can be given again when they are there.

    Exit status: 0 all went well, 1 some model failed, timed out or has not run, 2 the folder is no planned run.
    """
    from benchmarks.cli.commands.run_command import finish
    from benchmarks.cli.progress import Display
    from benchmarks.execution.runner import collect

    data = data_dir.resolve() if data_dir else None
    with Display() as display:
        result = collect(folder, display, threads=threads, figures=figures, plugins=plugin or (), data_dir=data)
    finish(result)
    if not result.complete:
        units = f"units {ranges(result.left)} have not run; do each with: run --unit N {folder}" if result.left else ""
        say(f"The board is INCOMPLETE: {units or 'some models have not run'}.")
        raise Exit(EXIT_FAILED)


def ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers as `sbatch --array` takes them, such as "0-2,5"."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
