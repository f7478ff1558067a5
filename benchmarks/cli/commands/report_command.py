"""Remake the leaderboard and the figures of a results folder from its CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def main(
    folder: Annotated[Path, typer.Argument(help="Folder of a run or of `score`.")],
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
) -> None:
    """Remake leaderboard.md, the tables of statistics and the figures; nothing is trained or scored.

    Exit status: 0 done, 2 the tables cannot be reported.
    """
    from reports.__main__ import remake

    remake(folder, draws, seed)
