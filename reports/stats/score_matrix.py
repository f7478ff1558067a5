"""The values of one metric in one task as arrays, condition × model: what all statistics are computed on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

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

    @property
    def kept(self) -> np.ndarray:
        """[condition, model]: what enters a mean; a reference only where it has a value, models everywhere alike."""
        return self.present & ~self.left_out & (self.own | self.is_model)

    @property
    def ranked(self) -> np.ndarray:
        """[model]: models with a value on every condition kept, some of it their own or in place of a failure."""
        filled = (self.kept & np.isfinite(self.value)).sum(axis=0)
        full = (filled == self.kept.sum(axis=0)) & (filled > 0)
        gave = (self.kept & (self.any_own | (self.failed & (self.status != "missing")))).any(axis=0)
        return self.is_model & full & gave

    def rows(self, which: np.ndarray | slice) -> ScoreMatrix:
        """Return the matrix of some of the conditions."""
        arrays = ("contexts", "conditions", "present", "value", "n_truth_cells", "status", "reason", *_FLAGS)
        return replace(self, **{name: getattr(self, name)[which] for name in arrays})

    def column(self, model: str) -> int | None:
        """Return the place of a model or reference; None where the task has none of that name."""
        return self.models.index(model) if model in self.models else None

    def table(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return the values [condition, model] of ranked models, the context of each condition, and the models' names.

        Conditions that are left out for everybody are not in it; values are as given, not turned by `sign`.
        """
        ranked = self.ranked
        keep = self.kept[:, ranked].all(axis=1)
        names = [name for name, use in zip(self.models, ranked, strict=True) if use]
        return self.value[keep][:, ranked], self.contexts[keep], names


def score_matrices(settled: pd.DataFrame, metrics: pd.DataFrame) -> Iterator[ScoreMatrix]:
    """Split what `condition_values` returned into its panels, by task in alphabetical order, then by metric as in `metrics`."""
    position = {name: number for number, name in enumerate(metrics["metric"])}
    better = metrics.set_index("metric")["higher_is_better"]
    order = settled["metric"].astype(object).map(position)
    for key, rows in settled.assign(order=order).groupby([*GROUP, "order"], sort=True, observed=True):
        metric = str(rows["metric"].iloc[0])
        yield _panel(key[:-1], metric, 1.0 if better[metric] else -1.0, rows)


def _panel(task: tuple[str, ...], metric: str, sign: float, rows: pd.DataFrame) -> ScoreMatrix:
    """Lay the rows of one task and metric out as arrays."""
    place = rows.groupby(["context", "condition"], sort=True, observed=True).ngroup().to_numpy()
    who = rows.groupby(["kind", "model"], sort=True, observed=True).ngroup().to_numpy()
    shape = (place.max() + 1, who.max() + 1)
    first_place, first_who = _first(place), _first(who)

    def spread(name: str, fill: object, dtype: type) -> np.ndarray:
        array = np.full(shape, fill, dtype=dtype)
        array[place, who] = rows[name].to_numpy()
        return array

    cells = spread("n_truth_cells", np.nan, float)
    known = np.isfinite(cells)
    counts = known.sum(axis=1)
    present = np.zeros(shape, dtype=bool)
    present[place, who] = True
    return ScoreMatrix(
        task=task,
        metric=metric,
        sign=sign,
        contexts=rows["context"].to_numpy()[first_place],
        conditions=rows["condition"].to_numpy()[first_place],
        models=tuple(rows["model"].to_numpy()[first_who]),
        is_model=rows["kind"].to_numpy()[first_who] == "model",
        present=present,
        value=spread("value", np.nan, float),
        n_truth_cells=np.where(counts > 0, np.where(known, cells, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan),
        status=spread("status", "", object),
        reason=spread("reason", "", object),
        **{name: spread(name, False, bool) for name in _FLAGS},
    )


def _first(codes: np.ndarray) -> np.ndarray:
    """Return where each code 0, 1, … occurs first."""
    return np.unique(codes, return_index=True)[1]
