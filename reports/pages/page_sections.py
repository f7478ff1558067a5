"""What a section of the leaderboard page is, what it is written from, and how sections are found."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import pandas as pd

from reports.formatting import decimals, number
from reports.pages import sections
from reports.stats.run_statistics import RunStatistics
from reports.task_labels import Task, lead_metric, ordered_models

BRACKET = " (*bracket*)"
_WEAK = 0.5
"""Share of the conditions below which the split half is not better than the baseline on most of them."""
MARKS = {
    "¹": "uninformative here: the split half is not better than the baseline beyond the bootstrap error, so no ranks and no "
    "scaled values",
    "²": "on less than half of the conditions is the split half better than the baseline",
    "³": "does not put planted predictors of known quality in order (an interval of τ reaches 0)",
}


@dataclass(frozen=True)
class Section:
    """A section of `leaderboard.md`: one file in `reports/pages/sections/` with a record `SECTION` of this type."""

    title: str
    """Its heading; "" for none."""
    order: int
    """Sections are in ascending order: those of a task among themselves, then those of the run."""
    write: Callable[[Any], str | None]
    """Markdown from `TaskData` (or `RunStatistics`); the section is left out where there is none."""
    per_task: bool = True
    """Whether it is written for each task, from `TaskData`, or once at the end, from `RunStatistics`."""


@dataclass(frozen=True)
class TaskData:
    """One task of a run, and what its sections have in common."""

    run: RunStatistics
    task: Task
    board: pd.DataFrame
    """The task's rows of the leaderboard."""

    @cached_property
    def suite(self) -> pd.DataFrame:
        """Rows at suite level."""
        return self.board[self.board["level"] == "suite"]

    @cached_property
    def lead(self) -> str:
        """The metric that orders the models."""
        return lead_metric(self.board)

    @cached_property
    def leaders(self) -> pd.DataFrame:
        """Rows of the leading metric at suite level, best model first, then references."""
        return ordered_models(self.board, self.lead)

    @cached_property
    def quality(self) -> pd.DataFrame:
        """The task's rows of the quality of metrics."""
        return self.task.select(self.run.quality)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The metrics that the task has, one row each."""
        metrics = self.run.tables.metrics
        return metrics[metrics["metric"].isin(self.board["metric"])]

    @cached_property
    def scored_quality(self) -> pd.DataFrame:
        """`quality` of the metrics that are ranked."""
        return self.quality[self.quality["metric"].isin(self.metrics.loc[self.metrics["scored"], "metric"])]

    @cached_property
    def places(self) -> dict[str, int]:
        """Decimals of each metric, chosen from the values of the models."""
        values = self.board["mean"].where(self.board["kind"] == "model").to_numpy()
        return {metric: decimals(values[rows]) for metric, rows in self.board.groupby("metric").indices.items()}

    @cached_property
    def cells(self) -> dict[tuple[str, str], str]:
        """(model, metric) → the mean at suite level as text, or the status where there is none."""
        return {
            (row.model, row.metric): row.status if pd.isna(row.mean) else number(row.mean, self.places[row.metric])
            for row in self.suite.itertuples()
        }

    @cached_property
    def marks(self) -> dict[str, str]:
        """Metric → " ¹²³", for the scored metrics that need care (`MARKS`)."""
        marks = {}
        for row in self.scored_quality.itertuples():
            holds = (row.informative is False, row.share < _WEAK, row.orders is False)
            marks[row.metric] = "".join(mark for mark, use in zip(MARKS, holds, strict=True) if use)
        return {metric: f" {text}" for metric, text in marks.items() if text}

    def metric_title(self, metric: str) -> str:
        """Write a metric's name, which way is better, and its marks."""
        return f"{metric} {self._arrows[metric]}{self.marks.get(metric, '')}"

    @cached_property
    def _arrows(self) -> dict[str, str]:
        """Metric → which way is better; "" where there is no best value."""
        return {
            row.metric: "" if pd.isna(row.best) else "↑" if row.higher_is_better else "↓"
            for row in self.metrics.itertuples()
        }


def find_sections() -> list[Section]:
    """Import every module of `reports/pages/sections/`; returns their `SECTION` records in the order of the page."""
    modules = [import_module(f"{sections.__name__}.{found.name}") for found in pkgutil.iter_modules(sections.__path__)]
    return sorted((module.SECTION for module in modules), key=lambda section: (not section.per_task, section.order))
