"""Everything a results folder is reported as, remade from its tables."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from reports.pages.leaderboard_page import write_markdown
from reports.stats.aggregate import rank_settled
from reports.stats.settle import settle
from reports.stats.statistics import analyse
from reports.tables import load


def write_reports(folder: Path, *, n_boot: int = 2000, seed: int = 0, figures: bool = True) -> list[Path]:
    """Make the CSV tables, `leaderboard.md` and `figures/` from the tables of a results folder.

    The CSV tables are `leaderboard`, `comparison` (paired, against the baselines), `quality` (of the metrics), `friedman`,
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
    tables = load(folder)
    settled = settle(tables.scores, tables.metrics)
    board = rank_settled(settled, tables.metrics, n_boot=n_boot, seed=seed)
    statistics = analyse(tables, settled, board, n_boot=n_boot, seed=seed)
    results = {"leaderboard": board} | {field.name: getattr(statistics, field.name) for field in fields(statistics)}
    written = [folder / f"{name}.csv" for name in results]
    for path, table in zip(written, results.values(), strict=True):
        table.to_csv(path, index=False, float_format="%.6g")
    drawn: dict[str, list[Path]] = {}
    if figures:
        from reports.figures.every_figure import (
            write_figures,  # the plotting packages take seconds to import; only this needs them
        )

        drawn = write_figures(settled, board, tables.costs, statistics, folder / "figures")
    links = {
        slug: [path.relative_to(folder).as_posix() for path in paths if path.suffix == ".png"]
        for slug, paths in drawn.items()
    }
    page = folder / "leaderboard.md"
    page.write_text(write_markdown(tables, settled, board, statistics, links), encoding="utf-8")
    return [*written, page, *(path for paths in drawn.values() for path in paths)]
