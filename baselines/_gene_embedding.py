"""What the linear models share: the gene embedding, and models by context."""

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import pandas as pd

Model = TypeVar("Model")


class ByContext(Generic[Model]):
    """Models of every context, solved once for each pair of doses that is asked about.

    Parameters
    ----------
    solve
        Makes a model of one context's changes [perturbation, gene], or None where they do not suffice.
    """

    def __init__(self, solve: Callable[[pd.DataFrame], Model | None]) -> None:
        self.solve = solve
        self.solved: dict[tuple, dict[str, Model | None]] = {}

    def of(self, step: tuple, table: pd.DataFrame) -> dict[str, Model | None]:
        """Context → model; `table` has the changes between the doses `step`, rows (context, perturbation)."""
        if step not in self.solved:
            contexts = table.groupby(level="context", sort=True)
            self.solved[step] = {str(c): self.solve(rows.droplevel("context")) for c, rows in contexts}
        return self.solved[step]


def gene_embedding(rows: pd.DataFrame, n_components: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Centre training changes and take their leading principal components, scaled by the singular values.

    Parameters
    ----------
    rows
        Changes of one context's training perturbations [perturbation, gene].
    n_components
        Most components; there is one less than perturbations at best.

    Returns
    -------
    tuple or None
        Changes less their mean over perturbations [gene, perturbation] and the embedding A [gene, component]; None with
        fewer than two perturbations.
    """
    changes = rows.to_numpy().T
    centred = changes - changes.mean(axis=1, keepdims=True)
    k = min(n_components, len(rows) - 1)
    if k < 1:
        return None
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    return centred, left[:, :k] * values[:k]
