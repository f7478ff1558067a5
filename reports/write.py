"""All reports of a results folder, made from its tables."""

from __future__ import annotations

from pathlib import Path

from reports.formatting import save_page, save_table
from reports.pages.leaderboard_page import leaderboard_blocks
from reports.stats.run_statistics import analyse
from reports.tables import load


def write_reports(folder: Path, *, n_boot: int = 2000, seed: int = 0, figures: bool = True) -> list[Path]:
    """Make the CSV tables, `leaderboard.md` and `figures/` from the tables of a results folder.

    The CSV tables are `leaderboard`, `comparison` (paired, with the baselines), `quality` (of the metrics), `friedman`,
    `wins` and `sensitivity` (of the models' order).

    Parameters
    ----------
    folder
        Holds `scores.csv`, `metrics.csv`, `costs.csv` and, where predictors were planted, `planted.csv`.
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
    run = analyse(load(folder), n_boot=n_boot, seed=seed)
    written = [save_table(table, folder / f"{name}.csv") for name, table in run.results.items()]
    drawn: dict[str, list[Path]] = {}
    if figures:
        from reports.figures.leaderboard_figures import write_figures  # matplotlib and seaborn are slow to import

        drawn = write_figures(run, folder / "figures")
    links = {
        slug: [path.relative_to(folder).as_posix() for path in paths if path.suffix == ".png"]
        for slug, paths in drawn.items()
    }
    page = save_page(leaderboard_blocks(run, links), folder / "leaderboard.md")
    return [*written, page, *(path for paths in drawn.values() for path in paths)]
