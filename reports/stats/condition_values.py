"""From one row per condition and seed to one value per condition: what counts where a model has no score of its own.

The rules, in the order they apply:

1. A condition's value is the mean over its seeds and folds, those that have run.
2. A condition on which a model failed, or which it declined while it took others, takes the value `no_change` has
   there. It is counted and the first reason is named; it is never dropped.
3. A condition that has no such score for any model (`too_few_genes`, …) is left out for every model alike, and so is one
   that a model has not run yet (`not_run`) while it has run others. A model that has run nothing has no value.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from reports.tables import DECLINED, FAILED, GROUP, LEFT_OUT, NOT_RUN, check_metrics, check_scores

_CELL = [*GROUP, "metric", "context", "condition"]
_MODEL = [*GROUP, "model", "kind"]
_LABELS = [*_MODEL, "metric", "context", "condition"]
_PANEL = ("context", "condition", "model", "kind", "value", "n_truth_cells", "status", "reason")
_FLAGS = ("own", "any_own", "failed", "declined", "left_out", "not_run")


def condition_values(scores: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Give every model one value per condition and metric, by rules 1 to 3; tables as in `tables.Tables`.

    Returns
    -------
    DataFrame
        One row per (`GROUP`, model, kind, metric, context, condition), sorted. `value` is the model's, or no_change's
        in its place, NaN where neither is there; `own` tells which (the model's on every seed: True), `any_own` whether
        it gave a value on any seed; `failed`, `declined`, `left_out` and `not_run` (on some seed) are booleans; `status`
        and `reason` are the first that are not ok; `n_truth_cells` is the mean over seeds and folds; `budget` and `audit` are the worst of
        the model's rows in the task.

    Raises
    ------
    ReportError
        What `check_scores` and `check_metrics` refuse.
    """
    scores = check_scores(scores, check_metrics(metrics))
    scores["condition"] = name_conditions(scores)
    rows, unfinished = _finished(_complete(scores))
    cell = rows.pop("cell").to_numpy()
    own, is_model = rows["status"].eq("ok").to_numpy(), rows["kind"].eq("model").to_numpy()
    lacking = {"failed": FAILED, "declined": DECLINED}
    flags = {name: rows["status"].isin(words).to_numpy() for name, words in lacking.items()}
    left_out = np.zeros(cell.max() + 1, dtype=bool)
    left_out[cell[rows["status"].isin(LEFT_OUT).to_numpy() & is_model]] = True
    waiting, model = rows["status"].eq(NOT_RUN).to_numpy(), rows.groupby(_MODEL, observed=True).ngroup().to_numpy()
    left_out[cell[waiting & np.isin(model, model[~waiting])]] = True
    value = rows["value"].to_numpy(dtype=float)
    copies = rows["model"].eq("no_change").to_numpy() & np.isfinite(value)
    counts, sums = (np.bincount(cell[copies], weights, minlength=len(left_out)) for weights in (None, value[copies]))
    copied = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    value = np.where((flags["failed"] | flags["declined"]) & is_model, copied[cell], value)
    # rows that are not ok come first within a condition, so that "first" names them
    pair = rows.groupby(_LABELS, sort=True, observed=True).ngroup().to_numpy()
    order = np.lexsort((rows["seed"], rows["fold"], own, pair))
    starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    settled = rows.iloc[order[starts]][[*_LABELS, "status", "reason"]].reset_index(drop=True)
    cells = rows["n_truth_cells"].to_numpy(dtype=float)
    settled = settled.assign(
        value=np.add.reduceat(value[order], starts) / sizes,
        own=np.logical_and.reduceat(own[order], starts),
        any_own=np.logical_or.reduceat(own[order], starts),
        failed=np.logical_or.reduceat(flags["failed"][order], starts),
        declined=np.logical_or.reduceat(flags["declined"][order], starts),
        left_out=left_out[cell[order[starts]]],
        not_run=np.logical_or.reduceat(unfinished[order], starts),
        n_truth_cells=np.add.reduceat(cells[order], starts) / sizes,
    )
    return settled.merge(_worst(scores), on=_MODEL, how="left")


def name_conditions(rows: pd.DataFrame) -> pd.Series:
    """Name each row's condition within its context: the perturbation, with its dose in nM where it has one."""
    given = rows["dose"].notna()
    if not given.any():
        return rows["perturbation"]
    doses = rows["dose"].astype("category")
    words = doses.cat.rename_categories([f" {dose:g} nM" for dose in doses.cat.categories]).astype(object).fillna("")
    return (rows["perturbation"].astype(object) + words).astype("category")


def _complete(scores: pd.DataFrame) -> pd.DataFrame:
    """Number the (task, metric, condition) of each row in a column `cell`, and add rows for conditions a model misses."""
    scores = scores.assign(cell=scores.groupby(_CELL, sort=True, observed=True).ngroup())
    rows = scores[scores["kind"] == "model"]
    expected = rows[[*_CELL, "cell"]].drop_duplicates("cell").merge(rows[_MODEL].drop_duplicates(), on=list(GROUP))
    found = expected.merge(rows[["cell", "model"]].drop_duplicates(), how="left", indicator="found")["found"]
    missing = expected[(found == "left_only").to_numpy()]
    if missing.empty:
        return scores
    missing = missing.assign(status="missing", reason="no row in scores.csv", fold=0, seed=0)
    return pd.concat([scores, missing], ignore_index=True).astype({"status": "category", "reason": "category"})


def _finished(rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Leave out seeds that have not run where others have; returns the rows, and which are of a pair that lacks some [row]."""
    waiting = rows["status"].eq(NOT_RUN).to_numpy()
    if not waiting.any():
        return rows, waiting
    pair = rows.groupby(_LABELS, observed=True).ngroup().to_numpy()
    lacks = np.isin(pair, pair[waiting])
    keep = ~waiting | ~np.isin(pair, pair[~waiting])
    return rows[keep].reset_index(drop=True), lacks[keep]


AUDITS = ("leak:", "leaky", "not proved", "clean", "proved", "")
"""How the results of an audit begin, worst first."""


def _worst(scores: pd.DataFrame) -> pd.DataFrame:
    """Return budget and audit per model and task: "quick" where any row is, and the worst audit."""
    facts = scores[[*_MODEL, "budget", "audit"]].drop_duplicates()
    severity = facts["audit"].map(lambda audit: next(n for n, start in enumerate(AUDITS) if audit.startswith(start)))
    worst = []
    for name, goodness in (("budget", facts["budget"] == "full"), ("audit", severity.astype(int))):
        ordered = facts.assign(good=goodness).sort_values([*_MODEL, "good", name])
        worst.append(ordered.groupby(_MODEL, observed=True)[name].first())
    return pd.concat(worst, axis=1).reset_index()


@dataclass(frozen=True)
class ScoreMatrix:
    """One metric of one task; `own` and the flags after it as `condition_values` explains them."""

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
    not_run: np.ndarray
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
        """[model]: models with a value on every condition kept, some of it their own."""
        filled = (self.kept & np.isfinite(self.value)).sum(axis=0)
        full = (filled == self.kept.sum(axis=0)) & (filled > 0)
        return self.is_model & full & (self.kept & self.any_own).any(axis=0)

    def rows(self, which: np.ndarray) -> Self:
        """Return the matrix of some of the conditions."""
        arrays = ("contexts", "conditions", "present", "value", "n_truth_cells", "status", "reason", *_FLAGS)
        return replace(self, **{name: getattr(self, name)[which] for name in arrays})

    def by_context(self) -> Iterator[tuple[str, Self]]:
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
    """Split what `condition_values` returned by task, then by metric as in `metrics`; `only` names the metrics wanted."""
    facts = metrics.set_index("metric")
    if only is not None:
        settled = settled[settled["metric"].isin(only)]
    if settled.empty:
        return
    order = settled["metric"].astype(object).map({name: place for place, name in enumerate(facts.index)})
    panel, place, which = (
        settled.assign(order=order).groupby(keys, sort=True, observed=True).ngroup().to_numpy()
        for keys in ([*GROUP, "order"], ["context", "condition"], ["kind", "model"])
    )
    columns = {name: settled[name].to_numpy() for name in (*_PANEL, *_FLAGS)}
    by_panel = np.argsort(panel, kind="stable")
    for rows in np.split(by_panel, np.flatnonzero(np.diff(panel[by_panel])) + 1):
        *task, metric = settled[[*GROUP, "metric"]].iloc[rows[0]]
        own = {name: column[rows] for name, column in columns.items()}
        yield _panel(tuple(task), facts.loc[metric], own, place[rows], which[rows])


def _panel(
    task: tuple[str, ...], metric: pd.Series, rows: Mapping[str, np.ndarray], place: np.ndarray, which: np.ndarray
) -> ScoreMatrix:
    """Lay the rows of one task and metric out as arrays, by ascending numbers of their conditions and of their models."""
    _, first_place, place = np.unique(place, return_index=True, return_inverse=True)
    _, first_which, which = np.unique(which, return_index=True, return_inverse=True)
    shape = (len(first_place), len(first_which))

    def spread(values: object, fill: object, dtype: type) -> np.ndarray:
        array: np.ndarray = np.full(shape, fill, dtype=dtype)
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
        contexts=rows["context"][first_place],
        conditions=rows["condition"][first_place],
        models=tuple(rows["model"][first_which]),
        is_model=rows["kind"][first_which] == "model",
        present=spread(True, False, bool),
        value=spread(rows["value"], np.nan, float),
        n_truth_cells=np.divide(np.nansum(cells, axis=1), counts, out=np.full(len(counts), np.nan), where=counts > 0),
        status=spread(rows["status"], "", object),
        reason=spread(rows["reason"], "", object),
        **{name: spread(rows[name], False, bool) for name in _FLAGS},
    )
