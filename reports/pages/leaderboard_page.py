"""The page `leaderboard.md`: the sections of `reports/pages/sections/`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from reports.formatting import link, plain_text
from reports.pages.missing_runs import tell_missing
from reports.pages.page_sections import TaskData, find_sections
from reports.stats.run_statistics import RunStatistics
from reports.task_labels import Task, tasks

READING = """\
A score is computed per condition (context × perturbation × dose), averaged over the conditions of a context, then over
contexts; brackets hold the 95 % interval of a hierarchical bootstrap (contexts, then conditions). `scaled` is 0 at the
baseline and 1 at the *ceiling*, not clipped. The ceiling is all true cells as the prediction, noise included, and no model lies
above it but by chance; *split_half* is one half of a condition's cells as the prediction of the other half, and a model that
learns from many conditions can lie above it, since half of one condition's cells is noisy. Models are ranked within one task,
never across. A condition on which a model failed, or which it declined while it took others, counts with the score of
`no_change` there; a model that failed on all conditions has no mean and no rank. Lines marked *bracket* are ranked models that
learn nothing about a perturbation's own effect; lines in italics are references, which have seen the truth or are no
prediction at all, and are never ranked."""


def leaderboard_blocks(run: RunStatistics, figures: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Write the page as blocks of Markdown; `figures` maps a task's slug to files, relative to the page.

    All text that comes from tables is escaped here, before a section sees it.
    """
    sections = find_sections()
    shown = {plain_task(task).slug: figures.get(task.slug, ()) for task, _ in tasks(run.leaderboard)}
    run = run.with_texts(plain_text)
    missing = tell_missing(run.tables.scores)
    yield from ("# Leaderboard" + (" (INCOMPLETE)" if missing else ""), missing, READING)
    for task, rows in tasks(run.leaderboard):
        data = TaskData(run, task, rows)
        for section in sections:
            if section.per_task and (text := section.write(data)):
                yield from (f"### {section.title}" if section.title else "", text)
        yield from (f"!{link(Path(path).name, Path(path))}" for path in shown.get(task.slug, ()))
    for section in sections:
        if not section.per_task and (text := section.write(run)):
            yield from (f"## {section.title}", text)


def plain_task(task: Task) -> Task:
    """Return a task with its texts escaped for a page."""
    suite, dataset, source, protocol, direction, leak = map(plain_text, astuple(task)[:6])
    return Task(suite, dataset, source, protocol, direction, leak, task.incomplete)
