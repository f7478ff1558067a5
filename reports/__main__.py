"""`python -m reports RESULTS_FOLDER` remakes the leaderboard and the figures from the CSV files there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from reports.pages.console import print_summary
from reports.tables import ReportError, read_leaderboard
from reports.write import write_reports


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; see `remake`."""
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Remake leaderboard and figures from a results folder's scores.csv, metrics.csv and costs.csv.",
    )
    parser.add_argument("folder", type=Path, metavar="RESULTS_FOLDER")
    parser.add_argument("--draws", type=int, default=2000, help="bootstrap draws (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: %(default)s)")
    options = parser.parse_args(arguments)
    return remake(options.folder, options.draws, options.seed)


def remake(folder: Path, draws: int, seed: int) -> int:
    """Remake the reports; returns 0, or 2 where the tables cannot be reported."""
    try:
        written = write_reports(folder, n_boot=draws, seed=seed)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    print_summary(read_leaderboard(folder / "leaderboard.csv"), Console())
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
