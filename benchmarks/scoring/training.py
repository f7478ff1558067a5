"""What scoring takes from the training cells: principal components, mean effects, and who the training controls are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL
from benchmarks.metrics.distribution import N_COMPONENTS
from benchmarks.scoring.table import CellTable

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

Index = np.ndarray
MANY_GENES = 2_000
"""Genes from which the whole covariance matrix costs more than its first components alone."""


@dataclass(frozen=True)
class Training:
    """Statistics of the training cells of one fold; no test cell is in them."""

    components: PCA
    """Principal components that distances between cells are measured in."""
    effects: pd.DataFrame
    """Mean effect of a context's training perturbations [context, gene]; row "" is the mean over contexts."""
    controls: Mapping[str, Index]
    """Context → positions of its training controls."""
    perturbed: Mapping[str, Index]
    """Context → positions of its perturbed training cells."""

    def mean_effect(self, contexts: np.ndarray) -> np.ndarray:
        """Mean effect [condition, gene] of each context; of all contexts where it has no training perturbation."""
        known = [c if c in self.effects.index else "" for c in contexts]
        return self.effects.loc[known].to_numpy()


def training_of(cells: CellTable, train: Index, seed: int) -> Training:
    """Summarise the training cells.

    Parameters
    ----------
    cells
        All cells in the run's space.
    train
        Positions of the training cells.
    seed
        Seed of the principal components' start vector.
    """
    from sklearn.decomposition import PCA  # slow to import, and not needed without training cells

    labels = cells.obs.iloc[train][["context", "perturbation"]].astype(str)
    x = sp.csr_matrix(cells.X[train])
    n = min(N_COMPONENTS, len(train) - 1, len(cells.var_names) - 1)
    is_control = (labels["perturbation"] == CONTROL).to_numpy()
    contexts = labels["context"].to_numpy()
    return Training(
        components=PCA(n, svd_solver=_solver(len(cells.var_names)), random_state=seed).fit(x),
        effects=_mean_effects(x, labels, cells.var_names),
        controls={c: train[is_control & (contexts == c)] for c in sorted(set(contexts[is_control]))},
        perturbed={c: train[~is_control & (contexts == c)] for c in sorted(set(contexts[~is_control]))},
    )


def _solver(n_genes: int) -> str:
    """Choose the quicker of two exact solvers that take sparse cells."""
    return "covariance_eigh" if n_genes <= MANY_GENES else "arpack"


def _mean_effects(x: sp.csr_matrix, labels: pd.DataFrame, genes: pd.Index) -> pd.DataFrame:
    """Mean over a context's training perturbations of (mean profile − mean of its training controls)."""
    codes, groups = pd.factorize(pd.MultiIndex.from_frame(labels), sort=True)
    weights = sp.csr_matrix((1.0 / np.bincount(codes)[codes], (codes, np.arange(len(codes)))))
    means = pd.DataFrame((weights @ x.astype(np.float64)).toarray(), index=groups, columns=genes)
    means.index.names = ["context", "perturbation"]
    is_control = means.index.get_level_values("perturbation") == CONTROL
    controls = means[is_control].droplevel("perturbation")
    perturbed = means[~is_control]
    perturbed = perturbed[perturbed.index.get_level_values("context").isin(controls.index)]
    effects = perturbed - controls.loc[perturbed.index.get_level_values("context")].to_numpy()
    table = effects.groupby(level="context").mean()
    everywhere = table.mean(axis=0).fillna(0.0) if len(table) else pd.Series(0.0, index=genes)
    return pd.concat([table, everywhere.to_frame("").T])
