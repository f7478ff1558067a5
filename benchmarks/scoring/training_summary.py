"""What scoring takes from the training cells: principal components, mean effects, and the positions of their controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL
from benchmarks.scoring.metrics.distribution import N_COMPONENTS
from benchmarks.scoring.scored_fold import CellTable
from benchmarks.tasks.splits import TestCondition

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

Index = np.ndarray
Step = tuple[float | None, float | None]
"""(dose started from, dose reached), nM; None for controls, and for perturbations without doses."""
MANY_GENES = 2_000
"""Genes from which the whole covariance matrix costs more than its first components alone."""


@dataclass(frozen=True)
class TrainingSummary:
    """Statistics of the training cells of one fold; no test cell is in them."""

    components: PCA
    """Principal components that distances between cells are measured in."""
    effects: Mapping[Step, pd.DataFrame]
    """Step → mean change of a context's training perturbations [context, gene]; row "" is the mean over contexts."""
    train: Index
    """Positions of the training cells."""
    labels: pd.DataFrame
    """Context, perturbation and dose (nM, 0 for none) of the training cells."""

    def mean_effect(self, conditions: Sequence[TestCondition]) -> np.ndarray:
        """Mean change [condition, gene] over the same step in a condition's context, or over all contexts where it has none."""
        tables = [self.effects[c.start_dose, c.dose] for c in conditions]
        pairs = zip(tables, (c.context for c in conditions), strict=True)
        return np.stack([table.loc[context if context in table.index else ""].to_numpy() for table, context in pairs])

    def start_like(self, condition: TestCondition) -> Index:
        """Positions of the training cells in the state that a condition starts from."""
        name = CONTROL if condition.start_dose is None else condition.perturbation
        return self._find(condition.context, self.labels["perturbation"] == name, condition.start_dose)

    def perturbed_like(self, condition: TestCondition) -> Index:
        """Positions of the training cells of a condition's context and dose, of any perturbation."""
        return self._find(condition.context, self.labels["perturbation"] != CONTROL, condition.dose)

    def _find(self, context: str, which: pd.Series, dose: float | None) -> Index:
        return self.train[((self.labels["context"] == context) & which & _at(self.labels, dose)).to_numpy()]


def summarise_training(
    cells: CellTable, train: Index, seed: int, conditions: Sequence[TestCondition] = ()
) -> TrainingSummary:
    """Summarise the training cells, those at the positions `train`; `seed` starts the search for principal components.

    Mean changes are those of the steps of `conditions`, which are tested; without any, of the step from controls to any dose.
    """
    from sklearn.decomposition import PCA  # slow to import, and not needed without training cells

    obs = cells.obs.iloc[train]
    labels = obs[["context", "perturbation"]].astype(str)
    labels["dose"] = obs["dose"].fillna(0.0).to_numpy(dtype=np.float64) if "dose" in obs else 0.0
    x = sp.csr_matrix(cells.X[train])
    n = min(N_COMPONENTS, len(train) - 1, len(cells.var_names) - 1)
    # the quicker of two exact solvers that take sparse cells
    solver = "covariance_eigh" if len(cells.var_names) <= MANY_GENES else "arpack"
    steps = {(condition.start_dose, condition.dose) for condition in conditions} or {(None, None)}
    return TrainingSummary(
        components=PCA(n, svd_solver=solver, random_state=seed).fit(x),
        effects={step: _mean_effects(x, labels, cells.var_names, step) for step in steps},
        train=train,
        labels=labels,
    )


def _mean_effects(x: sp.csr_matrix, labels: pd.DataFrame, genes: pd.Index, step: Step) -> pd.DataFrame:
    """Mean over a context's training perturbations of their change: from its training controls, or from a lower dose."""
    start, end = step
    ends = _means(x, labels, genes, (labels["perturbation"] != CONTROL) & _at(labels, end))
    if start is None:
        starts = _means(x, labels.assign(perturbation=""), genes, labels["perturbation"] == CONTROL)
        starts = starts.droplevel("perturbation").reindex(ends.index.get_level_values("context")).set_axis(ends.index)
    else:
        starts = _means(x, labels, genes, _at(labels, start)).reindex(ends.index)
    changes = (ends - starts).dropna()
    table = changes.groupby(level="context").mean()
    everywhere = table.mean(axis=0).fillna(0.0) if len(table) else pd.Series(0.0, index=genes)
    return pd.concat([table, everywhere.to_frame("").T])


def _at(labels: pd.DataFrame, dose: float | None) -> pd.Series:
    return labels["dose"] >= 0.0 if dose is None else labels["dose"] == dose


def _means(x: sp.csr_matrix, labels: pd.DataFrame, genes: pd.Index, which: pd.Series) -> pd.DataFrame:
    """Mean profiles of the cells chosen [(context, perturbation), gene]."""
    chosen = np.flatnonzero(which.to_numpy())
    keys = pd.MultiIndex.from_frame(labels.iloc[chosen][["context", "perturbation"]])
    codes, groups = pd.factorize(keys, sort=True)
    shape = len(groups), len(chosen)
    weights = sp.csr_matrix((1.0 / np.bincount(codes)[codes], (codes, np.arange(len(codes)))), shape=shape)
    index = groups.set_names(keys.names)
    return pd.DataFrame((weights @ x[chosen].astype(np.float64)).toarray(), index=index, columns=genes)
