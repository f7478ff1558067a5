"""All reports of a results folder; the page `leaderboard.md` is the sections of `reports/pages/sections/`."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from reports.formatting import save_page, save_table
from reports.pages.missing_runs import tell_missing
from reports.pages.page_sections import TaskData, find_sections
from reports.stats.run_statistics import RunStatistics, analyse
from reports.tables import load
from reports.task_labels import tasks

READING = """\
A score is computed per condition (context × perturbation × dose), averaged over the conditions of a context, then over
contexts; brackets hold the 95 % interval of a hierarchical bootstrap (contexts, then conditions). `scaled` is 0 at the
baseline and 1 at the ceiling, not clipped. Models are ranked within one task, never across. A condition on which a model
failed, or which it declined while it took others, counts with the score of `no_change` there; a model that failed on all
conditions has no mean and no rank. Lines marked *bracket* are
ranked models that learn nothing about a perturbation's own effect; lines in italics are references, which have seen the
truth or are no prediction at all, and are never ranked."""


def write_reports(folder: Path, *, n_boot: int = 2000, seed: int = 0, figures: bool = True) -> list[Path]:
    """Make the CSV tables, `leaderboard.md` and `figures/` from the tables of a results folder; returns the files written.

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

    Raises
    ------
    ReportError
        Tables that are missing or cannot be reported.
    """
    run = analyse(load(folder), n_boot=n_boot, seed=seed)
    written = [save_table(table, folder / f"{name}.csv") for name, table in run.results.items()]
    shutil.rmtree(folder / "figures", ignore_errors=True)  # no picture of other tables stays
    drawn: dict[str, list[Path]] = {}
    if figures:
        from reports.figures.leaderboard_figures import write_figures  # matplotlib and seaborn are slow to import

        drawn = write_figures(run, folder / "figures")
    links = {slug: [f"figures/{path.name}" for path in paths if path.suffix == ".png"] for slug, paths in drawn.items()}
    page = save_page(leaderboard_blocks(run, links), folder / "leaderboard.md")
    return [*written, page, *(path for paths in drawn.values() for path in paths)]


def leaderboard_blocks(run: RunStatistics, figures: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Write the page as blocks of Markdown; `figures` maps a task's slug to links relative to the page."""
    sections = find_sections()
    missing = tell_missing(run.tables.scores)
    yield from ("# Leaderboard" + (" (INCOMPLETE)" if missing else ""), missing, READING)
    for task, rows in tasks(run.leaderboard):
        data = TaskData(run, task, rows)
        for section in sections:
            if section.per_task and (text := section.write(data)):
                yield from (f"### {section.title}" if section.title else "", text)
        yield from (f"![{link.rsplit('/', 1)[-1]}]({link})" for link in figures.get(task.slug, ()))
    for section in sections:
        if not section.per_task and (text := section.write(run)):
            yield from (f"## {section.title}", text)
