"""Mean changes of the training perturbations, on which most simple predictors are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import scipy.sparse as sp

from baselines.shared.moved_cells import CellsToMove
from benchmarks.contract import CONTROL, LEVELS, Prediction, Query, Train
from benchmarks.errors import Unsupported

Step = tuple[float | None, float | None]
"""Doses in nM that a change leads from and to; None: from controls, or to perturbed cells without a dose."""
Model = TypeVar("Model")
Made = TypeVar("Made")


def averaging(group: np.ndarray) -> sp.csr_matrix:
    """Make the matrix [group, cell] that turns cells into the means of their groups, given each cell's group number."""
    return sp.csr_matrix((1.0 / np.bincount(group)[group], (group, np.arange(len(group)))))


def control_means(train: Train) -> pd.DataFrame:
    """Mean training control of every context that has one: rows contexts, columns genes, float64."""
    labels = train.profiles.labels
    control = (labels["perturbation"] == CONTROL).to_numpy()
    return pd.DataFrame(train.profiles.mean[control], labels.loc[control, "context"].to_numpy(), list(train.genes))


def effects(train: Train) -> pd.DataFrame:
    """Change of each training condition from the training controls of its context, where there are any.

    Rows are `LEVELS` (dose in nM, 0 for none), columns genes; `changes` takes the rows of a query's doses.
    """
    profiles, controls = train.profiles, control_means(train)
    labels = profiles.labels
    rows = np.flatnonzero((labels["perturbation"] != CONTROL) & labels["context"].isin(controls.index))
    labels, values = labels.iloc[rows], profiles.mean[rows]
    for context, own in labels.groupby("context", sort=False).indices.items():  # in place: there may be gigabytes
        values[own] -= controls.loc[context].to_numpy()
    return pd.DataFrame(values, pd.MultiIndex.from_frame(labels[list(LEVELS)]), list(train.genes))


def step_of(query: Query) -> Step:
    """Doses that an effect leads from and to: from the lower dose or the controls to the perturbed cells."""
    return (query.start_dose, query.dose) if query.direction == "n2p" else (query.dose, query.start_dose)


def changes(table: pd.DataFrame, step: Step = (None, None)) -> pd.DataFrame:
    """Change from one dose to another of each training perturbation that has both, from a table of `effects`.

    Rows are (context, perturbation), columns genes; there may be no row. Without doses they are the table's own values.
    """
    reached, start = (_at(table, dose or 0.0) for dose in step[::-1])
    return reached if step[0] is None else (reached - start.reindex(reached.index)).dropna()


def _at(table: pd.DataFrame, dose: float) -> pd.DataFrame:
    own = table.index.get_level_values("dose") == dose
    part = table if own.all() else table[own]
    return pd.DataFrame(part.to_numpy(), part.index.droplevel("dose"), part.columns)


def own_changes(table: pd.DataFrame) -> pd.Series:
    """Take from `changes` that of the perturbed gene itself, for each single perturbation of a measured gene."""
    genes = table.index.get_level_values("perturbation")
    row, column = np.flatnonzero(genes.isin(table.columns)), table.columns.get_indexer(genes)
    return pd.Series(table.to_numpy()[row, column[row]], index=table.index[row])


class ByStep(Generic[Made]):
    """What `make` makes of the `changes` between two doses, made once for each pair of doses, when it is first asked for."""

    def __init__(self, effects: pd.DataFrame, make: Callable[[pd.DataFrame], Made]) -> None:
        self.effects, self.make = effects, make
        self.made: dict[Step, Made] = {}

    def of(self, step: Step) -> Made:
        """Return what is made of the changes of a step."""
        if step not in self.made:
            self.made[step] = self.make(changes(self.effects, step))
        return self.made[step]


def context_means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of each context's `changes`: rows contexts, columns genes."""
    return table.groupby(level="context").mean()


def mean_effect_of(context: str, means: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Look up a context in `context_means`; the mean of all where it has none, with a note; raises `Unsupported` without any."""
    if means.empty:
        raise Unsupported("no training perturbation has cells at both doses")
    if context in means.index:
        return means.loc[context].to_numpy(), ""
    return means.mean(axis=0).to_numpy(), f"no training perturbation in {context}: mean of all contexts"


def shifted(query: Query, effect: np.ndarray, note: str = "") -> Prediction:
    """Predict the input cells moved by an effect on their mean [gene]: added for n2p, taken away for p2n."""
    sign = 1.0 if query.direction == "n2p" else -1.0
    return Prediction(_prepared(query.cells.X).by(sign * effect), unit="cell", note=note)


def _prepared(x: Any) -> CellsToMove:
    """Prepare input cells, or take those of the last query where they are the same matrix, which no predictor may change."""
    for known, made in _last:
        if known is x:
            return made
    made = CellsToMove(x)
    _last[:] = [(x, made)]
    return made


_last: list[tuple[Any, CellsToMove]] = []
"""Input cells of the last query, and what was made of them."""


class ContextModels(Generic[Model]):
    """One linear model per context and pair of doses, solved on first use.

    `solve` makes a model (or None) from the names of a context's perturbations, their changes less the mean of these
    [gene, perturbation], and the gene embedding [gene, component]: at most `n_components` leading principal components of
    these changes, scaled by the singular values. With fewer than two perturbations there is no model.
    """

    def __init__(
        self,
        effects: pd.DataFrame,
        n_components: int,
        solve: Callable[[list[str], np.ndarray, np.ndarray], Model | None],
    ) -> None:
        self.n_components, self.solve = n_components, solve
        self.by_step = ByStep(effects, self._solved_contexts)

    def of(self, query: Query) -> tuple[Model | None, np.ndarray, str]:
        """Return the query's model, the mean effect [gene] and the note of `mean_effect_of`; raises `Unsupported`."""
        models, means = self.by_step.of(step_of(query))
        return models.get(query.context), *mean_effect_of(query.context, means)

    def _solved_contexts(self, table: pd.DataFrame) -> tuple[dict[str, Model | None], pd.DataFrame]:
        contexts = table.groupby(level="context", sort=True)
        return {str(c): self._solved(rows.droplevel("context")) for c, rows in contexts}, context_means(table)

    def _solved(self, rows: pd.DataFrame) -> Model | None:
        k = min(self.n_components, len(rows) - 1)
        if k < 1:
            return None
        measured = rows.to_numpy().T
        centred = measured - measured.mean(axis=1, keepdims=True)
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        return self.solve(list(map(str, rows.index)), centred, left[:, :k] * values[:k])
