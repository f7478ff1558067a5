"""Embed real and predicted cells of a compound by dose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from benchmarks.cli.console import say
from benchmarks.cli.options import DataDir, split_names


def main(
    run: Annotated[Path, Argument(help="Folder of a finished run of a suite with doses.")],
    compound: Annotated[
        list[str] | None, Option(help="COMPOUND or CONTEXT/COMPOUND to draw; repeatable; default: the first two.")
    ] = None,
    models: Annotated[str, Option(help="Comma-separated; default: all of the run.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Write RUN/embedding/: neighbours.csv (all compounds), cells.csv and figures (those drawn).

    Exit status: 0 done, 2 the run or a name cannot be used.
    """
    from benchmarks.analyses.dose_embedding import embed
    from benchmarks.execution.load_run import reopen

    paths = embed(reopen(run, data_dir), tuple(compound or ()), split_names(models))
    say("\n".join(f"Wrote {path}" for path in paths))
