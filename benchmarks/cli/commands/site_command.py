"""Make a site of several runs: index.html, and one page a run, that open without a server or a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option


def main(
    results: Annotated[list[Path], Argument(help="Folders of runs or of `score`, or folders that hold some.")],
    out: Annotated[Path, Option(help="Folder of the site.")],
    title: Annotated[str, Option(help="Heading of the first page.")] = "cycseq-bench",
    draws: Annotated[int, Option(help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, Option(help="Seed of the draws.")] = 0,
) -> None:
    """Make index.html over several runs and suites, and a page for each run; nothing is trained or scored.

    Exit status: 0 done, 2 the tables cannot be reported.
    """
    from benchmarks.cli.console import EXIT_USAGE, say
    from reports import ReportError
    from reports.html.site import write_site

    try:
        written = write_site(results, out, title=title, n_boot=draws, seed=seed)
    except ReportError as error:
        say(str(error))
        raise Exit(EXIT_USAGE) from error
    say("\n".join(map(str, written)))
