"""Parts shared by the linear models: the gene embedding, and one model per context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import pandas as pd

from baselines.shared.effects import changes, mean_effect_of, step_of
from benchmarks.contract import Query

Model = TypeVar("Model")


class ContextModels(Generic[Model]):
    """One model per context and pair of doses, solved on first use.

    Parameters
    ----------
    effects
        From `effects.effects`.
    solve
        Makes a model of one context's changes [perturbation, gene], or None where there are too few.
    """

    def __init__(self, effects: pd.DataFrame, solve: Callable[[pd.DataFrame], Model | None]) -> None:
        self.effects = effects
        self.solve = solve
        self.solved: dict[tuple, dict[str, Model | None]] = {}

    def of(self, query: Query) -> tuple[Model | None, np.ndarray, str]:
        """Return the query's model, the mean effect [gene] and the note of `mean_effect_of`; raises `Unsupported`."""
        step = step_of(query)
        table = changes(self.effects, step)
        if step not in self.solved:
            contexts = table.groupby(level="context", sort=True)
            self.solved[step] = {str(c): self.solve(rows.droplevel("context")) for c, rows in contexts}
        return self.solved[step].get(query.context), *mean_effect_of(query.context, table)


def gene_embedding(rows: pd.DataFrame, n_components: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Centre training changes and take their leading principal components, scaled by the singular values.

    Parameters
    ----------
    rows
        Changes of one context's training perturbations [perturbation, gene].
    n_components
        Maximum number of components; at most the number of perturbations less one.

    Returns
    -------
    tuple or None
        Changes less their mean over perturbations [gene, perturbation] and the embedding A [gene, component]; None with
        fewer than two perturbations.
    """
    changes_ = rows.to_numpy().T
    centred = changes_ - changes_.mean(axis=1, keepdims=True)
    k = min(n_components, len(rows) - 1)
    if k < 1:
        return None
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    return centred, left[:, :k] * values[:k]
