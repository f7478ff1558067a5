"""All that is made from the tables of a results folder."""

import shutil
from pathlib import Path

from reports.formatting import save_page, save_table, visible
from reports.pages.leaderboard_page import leaderboard_blocks
from reports.stats.run_statistics import analyse
from reports.tables import load


def write_reports(folder: Path, *, n_boot: int = 2000, seed: int = 0, figures: bool = True) -> list[Path]:
    """Make the CSV tables, `leaderboard.md`, `report.html` and `figures/` from the tables of a results folder.

    The CSV tables are `leaderboard`, `comparison` (paired, with the baselines), `quality` (of the metrics), `friedman`,
    `wins` and `sensitivity` (of the models' order).

    Parameters
    ----------
    folder
        Holds the tables that `tables.load` reads.
    n_boot, seed
        Draws and seed of the bootstrap; the same tables and the same values give the same files.
    figures
        Whether to draw `figures/`, which takes most of the time; what was drawn there before is removed in any case.

    Returns
    -------
    list
        The files written.

    Raises
    ------
    ReportError
        Tables that are missing or cannot be reported.
    """
    from reports.html.report_page import task_pages, write_report  # charts and template are slow to import

    run = analyse(load(folder), n_boot=n_boot, seed=seed)
    written = [save_table(table, folder / f"{name}.csv") for name, table in run.results.items()]
    shutil.rmtree(folder / "figures", ignore_errors=True)  # no picture of other tables stays
    drawn: dict[str, list[Path]] = {}
    if figures:
        from reports.figures.leaderboard_figures import write_figures  # matplotlib and seaborn are slow to import

        drawn = write_figures(run.with_texts(visible), folder / "figures")
    links = {slug: [f"figures/{path.name}" for path in paths if path.suffix == ".png"] for slug, paths in drawn.items()}
    page = save_page(leaderboard_blocks(run, links), folder / "leaderboard.md")
    report = write_report(task_pages(run, n_boot=n_boot, seed=seed), folder, folder / "report.html")
    return [*written, page, report, *(path for paths in drawn.values() for path in paths)]
