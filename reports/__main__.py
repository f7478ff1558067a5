"""`python -m reports RESULTS_FOLDER` remakes the leaderboard and the figures from the CSV files there."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reports.pages.console import print_summary
from reports.results_folder import write_reports
from reports.tables import ReportError, read_leaderboard


def remake(
    folder: Annotated[Path, typer.Argument(metavar="RESULTS_FOLDER")],
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
) -> list[Path]:
    """Remake leaderboard and figures from a folder's scores.csv, metrics.csv and costs.csv; exit status 2: not usable."""
    try:
        written = write_reports(folder, n_boot=draws, seed=seed)
    except ReportError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error
    print_summary(read_leaderboard(folder / "leaderboard.csv"), Console())
    print("\n".join(map(str, written)))
    return written


if __name__ == "__main__":
    typer.run(remake)
