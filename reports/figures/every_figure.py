"""Every figure of a results folder, drawn and written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reports.figures.score_figures import draw_contexts, draw_copying, draw_ranking, draw_time
from reports.figures.statistics_figures import draw_calibration, draw_ranks, draw_sensitivity
from reports.figures.style import model_colours, save, settings
from reports.stats.statistics import Statistics
from reports.task_labels import fit_costs, tasks


def write_figures(
    settled: pd.DataFrame, board: pd.DataFrame, costs: pd.DataFrame, statistics: Statistics, folder: Path
) -> dict[str, list[Path]]:
    """Draw every figure of every task that has the numbers for it: PNG, and SVG of the four that show scores.

    Parameters
    ----------
    settled
        What `settle.settle` returned: one value per condition.
    board
        What `aggregate.leaderboard` returned.
    costs
        One row per fit (`tables.COST_COLUMNS`).
    statistics
        What `statistics.analyse` returned for the same scores.
    folder
        Where to write; made if it does not exist.

    Returns
    -------
    dict
        Task slug → paths, in the order a reader should see them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # one condition alone has no interval: its dot is drawn without a bar
    board = board.assign(low=board["low"].fillna(board["mean"]), high=board["high"].fillna(board["mean"]))
    colours = model_colours(board.loc[board["kind"] == "model", "model"])
    paths: dict[str, list[Path]] = {}
    for task, rows in tasks(board):
        with settings():
            figures = {
                "ranking": draw_ranking(task, rows, colours),
                "contexts": draw_contexts(task, rows),
                "copying": draw_copying(task, rows, task.select(settled), colours),
                "time": draw_time(task, rows, fit_costs(costs, task), colours),
            }
            friedman, wins = task.select(statistics.friedman), task.select(statistics.wins)
            diagrams = {
                "ranks": draw_ranks(task, rows, friedman, wins, colours),
                "sensitivity": draw_sensitivity(task, task.select(statistics.sensitivity)),
                "calibration": draw_calibration(task, rows, task.select(statistics.quality), colours),
            }
            paths[task.slug] = [
                path
                for name, figure in (figures | diagrams).items()
                if figure is not None
                for path in save(figure, folder / f"{name}-{task.slug}", svg=name in figures)
            ]
    return paths
