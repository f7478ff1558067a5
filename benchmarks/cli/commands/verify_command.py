"""Check a results folder: digests of its files, and every number that can be computed again from what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from benchmarks.cli import options
from benchmarks.cli.console import EXIT_FAILED, console, say

COLOURS = {"right": "green", "wrong": "red", "not checked": "yellow"}


def main(
    folder: Annotated[Path, Argument(metavar="RUN", help="Folder of a run, of `score` or of `import`.")],
    data_dir: options.DataDir = None,
    threads: Annotated[int | None, Option(min=1, help="Threads; default: cores.")] = None,
    draws: Annotated[int, Option(help="Bootstrap draws of its tables, as `report` had them.")] = 2000,
    seed: Annotated[int, Option(help="Seed of the draws.")] = 0,
) -> None:
    """Check a results folder, such as one that somebody else has sent; nothing in it is changed, no code of it is run.

    Digests of all files are compared, tables and page are made again from scores.csv, and where the data are at hand, scores
    are made again from what is kept of the predictions.

    Exit status: 0 all that could be checked is right, 1 something is wrong, 2 the folder holds no results.
    """
    from benchmarks.cli.progress import Display
    from benchmarks.data.download import sha256_of
    from benchmarks.data.store.folder_digests import SUMS
    from benchmarks.execution.events import Event, ScoringProgressed
    from benchmarks.execution.machine import usable_cores
    from benchmarks.execution.verification import verify

    data, wrong = data_dir.resolve() if data_dir else None, 0
    with Display() as display:

        def watch(event: Event) -> None:
            if isinstance(event, ScoringProgressed):
                display(event)

        for found in verify(folder, watch, data_dir=data, threads=threads or usable_cores(), n_boot=draws, seed=seed):
            console.print(f"[{COLOURS[found.verdict]}]{found.verdict:>11}[/] ", end="")
            say(f"{found.what}: {found.detail}")
            wrong += found.verdict == "wrong"
    if (folder / SUMS).is_file():
        say(f"This folder is {sha256_of(folder / SUMS)[:16]} (sha256 of {SUMS}): ask whoever sent it for the same.")
    if wrong:
        raise Exit(EXIT_FAILED)
