"""The values of one metric in one task as arrays, condition × model: what all statistics are computed on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from reports.tables import GROUP

_FLAGS = ("own", "any_own", "failed", "declined", "left_out")


@dataclass(frozen=True)
class ScoreMatrix:
    """One metric of one task; `own`, `any_own`, `failed`, `declined`, `left_out` as `condition_values` explains them."""

    task: tuple[str, ...]
    """Values of `GROUP`."""
    metric: str
    sign: float
    """1 where higher is better, −1 where lower is: sign × value grows with quality."""
    scored: bool
    """Whether the metric ranks models."""
    judged: bool
    """Whether the metric has a best value."""
    contexts: np.ndarray
    """[condition], sorted."""
    conditions: np.ndarray
    """[condition], sorted within a context."""
    models: tuple[str, ...]
    """Names in sorted order, models before references."""
    is_model: np.ndarray
    """[model]."""
    present: np.ndarray
    """[condition, model]: whether there is a row; references may lack some."""
    value: np.ndarray
    """[condition, model], NaN where there is none."""
    n_truth_cells: np.ndarray
    """[condition], mean over seeds and folds."""
    own: np.ndarray
    any_own: np.ndarray
    failed: np.ndarray
    declined: np.ndarray
    left_out: np.ndarray
    status: np.ndarray
    """[condition, model], "" where there is no row; `reason` alike."""
    reason: np.ndarray

    @property
    def labels(self) -> dict[str, object]:
        """Task and metric as the first columns of a row of results."""
        return dict(zip((*GROUP, "metric"), (*self.task, self.metric), strict=True))

    @cached_property
    def kept(self) -> np.ndarray:
        """[condition, model]: what enters a mean; a reference only where it has a value, models everywhere alike."""
        return self.present & ~self.left_out & (self.own | self.is_model)

    @cached_property
    def ranked(self) -> np.ndarray:
        """[model]: models with a value on every condition kept, some of it their own or in place of a failure."""
        filled = (self.kept & np.isfinite(self.value)).sum(axis=0)
        full = (filled == self.kept.sum(axis=0)) & (filled > 0)
        gave = (self.kept & (self.any_own | (self.failed & (self.status != "missing")))).any(axis=0)
        return self.is_model & full & gave

    def rows(self, which: np.ndarray) -> ScoreMatrix:
        """Return the matrix of some of the conditions."""
        arrays = ("contexts", "conditions", "present", "value", "n_truth_cells", "status", "reason", *_FLAGS)
        return replace(self, **{name: getattr(self, name)[which] for name in arrays})

    def by_context(self) -> Iterator[tuple[str, ScoreMatrix]]:
        """Yield the name and the matrix of each context."""
        for context in np.unique(self.contexts):
            yield context, self.rows(self.contexts == context)

    def column(self, model: str) -> int | None:
        """Return the place of a model or reference; None where the task has none of that name."""
        return self.models.index(model) if model in self.models else None

    def table(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return the values [condition, model] of ranked models, the context of each condition, and the models' names.

        Conditions that are left out for every model are not in it; values are as given, not turned by `sign`.
        """
        keep = self.kept[:, self.ranked].all(axis=1)
        return self.value[keep][:, self.ranked], self.contexts[keep], np.array(self.models)[self.ranked].tolist()


def score_matrices(
    settled: pd.DataFrame, metrics: pd.DataFrame, only: Collection[str] | None = None
) -> Iterator[ScoreMatrix]:
    """Split what `condition_values` returned by task in alphabetical order, then by metric as in `metrics`.

    `only` names the metrics that are wanted; None takes all of them.
    """
    facts = metrics.set_index("metric")
    if only is not None:
        settled = settled[settled["metric"].isin(only)]
    order = settled["metric"].astype(object).map({name: place for place, name in enumerate(facts.index)})
    for key, rows in settled.assign(order=order).groupby([*GROUP, "order"], sort=True, observed=True):
        yield _panel(key[:-1], facts.loc[rows["metric"].iloc[0]], rows)


def _panel(task: tuple[str, ...], metric: pd.Series, rows: pd.DataFrame) -> ScoreMatrix:
    """Lay the rows of one task and metric out as arrays."""
    place = rows.groupby(["context", "condition"], sort=True, observed=True).ngroup().to_numpy()
    which = rows.groupby(["kind", "model"], sort=True, observed=True).ngroup().to_numpy()
    first_place, first_which = (np.unique(codes, return_index=True)[1] for codes in (place, which))
    shape = (len(first_place), len(first_which))

    def spread(values: object, fill: object, dtype: type) -> np.ndarray:
        array = np.full(shape, fill, dtype=dtype)
        array[place, which] = values
        return array

    cells = spread(rows["n_truth_cells"], np.nan, float)
    counts = np.isfinite(cells).sum(axis=1)
    return ScoreMatrix(
        task=task,
        metric=str(metric.name),
        sign=1.0 if metric["higher_is_better"] else -1.0,
        scored=bool(metric["scored"]),
        judged=bool(pd.notna(metric["best"])),
        contexts=rows["context"].to_numpy()[first_place],
        conditions=rows["condition"].to_numpy()[first_place],
        models=tuple(rows["model"].to_numpy()[first_which]),
        is_model=rows["kind"].to_numpy()[first_which] == "model",
        present=spread(True, False, bool),
        value=spread(rows["value"], np.nan, float),
        n_truth_cells=np.divide(np.nansum(cells, axis=1), counts, out=np.full(len(counts), np.nan), where=counts > 0),
        status=spread(rows["status"], "", object),
        reason=spread(rows["reason"], "", object),
        **{name: spread(rows[name], False, bool) for name in _FLAGS},
    )
