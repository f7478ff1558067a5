"""Make one run of several of the same question, such as of other models or seeds, made on other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from benchmarks.cli import options
from benchmarks.cli.console import EXIT_FAILED, say

INTERRUPTED = "Delete the folder of --out, and give the same command again."


def main(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="Folders of runs of the same question.")],
    out: Annotated[Path, Option(help="New folder of the merged run.")],
    data_dir: options.DataDir = None,
    threads: Annotated[int | None, Option(min=1, help="Threads of scoring; default: cores.")] = None,
    figures: Annotated[bool, Option(help="Whether to draw figures.")] = True,
) -> None:
    """Make one run of several of the same question (other models, seeds, folds or directions); nothing is trained.

    The tables are those of one run that did all of it. The data of the question must be at hand, since references are
    computed from them. Runs of different questions, and sets of predictions that two runs have with different results, are
    refused, and the difference is named.

    Exit status: 0 all went well, 1 some model failed, timed out or has not run, 2 the runs cannot be merged.
    """
    from benchmarks.cli.commands.run_command import finish
    from benchmarks.cli.progress import Display
    from benchmarks.execution.machine import usable_cores
    from benchmarks.execution.merge import merge, tell_versions

    if differs := tell_versions(runs):
        say(f"The runs were made with different versions: {differs}.")
    data = data_dir.resolve() if data_dir else None
    with Display() as display:
        result = merge(runs, out, display, threads=threads or usable_cores(), figures=figures, data_dir=data)
    finish(result)
    if not result.complete:
        say("The board is INCOMPLETE: some of what the runs were asked has not run in any of them.")
        raise Exit(EXIT_FAILED)
