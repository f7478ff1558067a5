"""Command line: `python -m reports.paper DIR` writes DIR/paper/paper.md for a finished `--suite all` folder."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from reports.pages.paper_page import write_paper
from reports.tables import ReportError


def main(
    folder: Annotated[Path, typer.Argument(help="Folder with a run's folder per suite, each named as its suite.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; default: FOLDER/paper.")] = None,
) -> None:
    """Make the CycSeq paper's tables and figures from the runs of several suites; exit status 2 without a run."""
    try:
        print("\n".join(map(str, write_paper(find_runs(folder), out or folder / "paper"))))
    except ReportError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error


def find_runs(folder: Path) -> dict[str, Path]:
    """Name the runs in a folder: its subfolders that hold scores; raises `ReportError` where there is none."""
    found = {path.parent.name: path.parent for path in sorted(folder.glob("*/scores.csv"))}
    if not found:
        raise ReportError(f"{folder} holds no run; expected a folder for each suite, as --suite all leaves.")
    return found


if __name__ == "__main__":
    typer.run(main)
