"""Everything a results folder is reported as, remade from its tables."""

from __future__ import annotations

from pathlib import Path

from reports.aggregate import rank_settled, settle
from reports.compare import compare
from reports.markdown import write_markdown
from reports.tables import load


def write_reports(folder: Path, *, n_boot: int = 2000, seed: int = 0, figures: bool = True) -> list[Path]:
    """Make `leaderboard.csv`, `comparison.csv`, `leaderboard.md` and `figures/` from the tables of a results folder.

    Parameters
    ----------
    folder
        Holds `scores.csv`, `metrics.csv` and `costs.csv`.
    n_boot, seed
        Draws and seed of the bootstrap; the same tables and the same values give the same files.
    figures
        Whether to draw `figures/`, which takes most of the time.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ReportError
        Tables that are missing or cannot be reported; see `tables.load`.
    """
    tables = load(folder)
    settled = settle(tables.scores, tables.metrics)
    board = rank_settled(settled, tables.metrics, n_boot=n_boot, seed=seed)
    comparison = compare(settled, tables.metrics, n_boot=n_boot, seed=seed)
    written = [folder / "leaderboard.csv", folder / "comparison.csv", folder / "leaderboard.md"]
    board.to_csv(written[0], index=False, float_format="%.6g")
    comparison.to_csv(written[1], index=False, float_format="%.6g")
    drawn: dict[str, list[Path]] = {}
    if figures:
        from reports.figures import write_figures  # the plotting packages take seconds to import; only this needs them

        drawn = write_figures(settled, board, tables.costs, folder / "figures")
    links = {
        slug: [path.relative_to(folder).as_posix() for path in paths if path.suffix == ".png"]
        for slug, paths in drawn.items()
    }
    written[2].write_text(write_markdown(tables, board, comparison, links), encoding="utf-8")
    return [*written, *(path for paths in drawn.values() for path in paths)]
