"""Counterparts of every table and figure of section 3 of the CycSeq paper, from result tables alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reports.pages.paper.paper_page import write_page
from reports.stats.suite_results import Results

__all__ = ["write_paper"]


def write_paper(folders: Mapping[str, Path], out: Path) -> list[Path]:
    """Write `paper.md` with the tables and figures of the paper and ours.

    Parameters
    ----------
    folders
        Suite ("cropseq", "replogle", "sciplex", "triangular"; others get their sentences) → folder of its finished run. A
        suite that is not there is a line that says which command runs it.
    out
        Folder to write to; made if it does not exist.

    Returns
    -------
    list of Path
        The files written, the page last.

    Raises
    ------
    ReportError
        Tables of a run that are missing or cannot be reported.
    """
    return write_page({suite: Results.of(folder) for suite, folder in folders.items()}, out)
