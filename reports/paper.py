"""Command line: `python -m reports.paper DIR` writes DIR/paper/paper.md for a finished `--suite all` folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reports.pages.paper.paper_page import write_paper
from reports.tables import ReportError


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; returns 0, or 2 where there is nothing to make it from."""
    parser = argparse.ArgumentParser(
        prog="python -m reports.paper",
        description="Make the CycSeq paper's tables and figures from the runs of several suites.",
    )
    parser.add_argument("folder", type=Path, help="folder with a run's folder per suite, each named as its suite")
    parser.add_argument("--out", type=Path, help="where to write (default: FOLDER/paper)")
    options = parser.parse_args(arguments)
    try:
        paths = write_paper(find_runs(options.folder), options.out or options.folder / "paper")
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(map(str, paths)))
    return 0


def find_runs(folder: Path) -> dict[str, Path]:
    """Name the runs in a folder: its subfolders that hold scores; raises `ReportError` where there is none."""
    found = {path.parent.name: path.parent for path in sorted(folder.glob("*/scores.csv"))}
    if not found:
        raise ReportError(
            f"{folder} holds no run; expected a folder per suite with scores.csv in it, as `python -m benchmarks.run --suite all` "
            "leaves behind."
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
