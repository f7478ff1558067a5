"""The page `leaderboard.md`: an introduction, and the sections of `reports/pages/sections/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reports.pages.page_sections import TaskData, find_sections
from reports.stats.run_statistics import RunStatistics
from reports.task_labels import tasks

READING = """\
A score is computed per condition (context × perturbation × dose), averaged over the conditions of a context, then over
contexts; brackets hold the 95 % interval of a hierarchical bootstrap (contexts, then conditions). `scaled` is 0 at the
baseline and 1 at the ceiling, not clipped. Models are ranked within one task, never across. A condition on which a model
failed, or which it declined while it took others, counts with the score of `no_change` there. Lines marked *bracket* are
ranked models that learn nothing about a perturbation's own effect; lines in italics are references, which have seen the
truth or are no prediction at all, and are never ranked."""


def leaderboard_blocks(run: RunStatistics, figures: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Write the page as blocks of Markdown; `figures` maps a task's slug to links relative to the page."""
    sections = find_sections()
    yield from ("# Leaderboard", READING)
    for task, rows in tasks(run.leaderboard):
        data = TaskData(run, task, rows)
        for section in sections:
            if section.per_task and (text := section.write(data)):
                yield from (f"### {section.title}" if section.title else "", text)
        yield from (f"![{link.rsplit('/', 1)[-1]}]({link})" for link in figures.get(task.slug, ()))
    for section in sections:
        if not section.per_task and (text := section.write(run)):
            yield from (f"## {section.title}", text)
