"""Remake the leaderboard and the figures of a results folder from its CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def main(
    folder: Annotated[Path, Argument(help="Folder of a run or of `score`.")],
    draws: Annotated[int, Option(help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, Option(help="Seed of the draws.")] = 0,
) -> None:
    """Remake report.html, leaderboard.md, the tables of statistics and the figures; nothing is trained or scored.

    Exit status: 0 done, 2 the tables cannot be reported.
    """
    from benchmarks.data.store.folder_digests import update_sums
    from reports.__main__ import remake

    update_sums(folder, remake(folder, draws, seed))
