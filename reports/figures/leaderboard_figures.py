"""The figures of a results folder, drawn and written."""

from __future__ import annotations

from pathlib import Path

from reports.figures.score_figures import draw_contexts, draw_copying, draw_ranking, draw_time
from reports.figures.statistics_figures import draw_calibration, draw_ranks, draw_sensitivity
from reports.figures.style import model_colours, save, settings
from reports.stats.run_statistics import RunStatistics
from reports.task_labels import fit_costs, tasks


def write_figures(run: RunStatistics, folder: Path) -> dict[str, list[Path]]:
    """Draw every figure that a task has the numbers for: PNG, and SVG of the four that show scores.

    Returns
    -------
    dict
        Task slug → paths, in the order of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    board = run.leaderboard
    # one condition alone has no interval: its dot is drawn without a bar
    board = board.assign(low=board["low"].fillna(board["mean"]), high=board["high"].fillna(board["mean"]))
    colours = model_colours(board.loc[board["kind"] == "model", "model"])
    paths: dict[str, list[Path]] = {}
    for task, rows in tasks(board):
        with settings():
            scores = {
                "ranking": draw_ranking(task, rows, colours),
                "contexts": draw_contexts(task, rows),
                "copying": draw_copying(task, rows, task.select(run.settled), colours),
                "time": draw_time(task, rows, fit_costs(run.tables.costs, task), colours),
            }
            statistics = {
                "ranks": draw_ranks(task, rows, task.select(run.friedman), task.select(run.wins), colours),
                "sensitivity": draw_sensitivity(task, task.select(run.sensitivity)),
                "calibration": draw_calibration(task, rows, task.select(run.quality), colours),
            }
            paths[task.slug] = [
                path
                for name, figure in (scores | statistics).items()
                if figure is not None
                for path in save(figure, folder / f"{name}-{task.slug}", svg=name in scores)
            ]
    return paths
