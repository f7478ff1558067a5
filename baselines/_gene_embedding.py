"""The gene embedding that the linear models share."""

import numpy as np
import pandas as pd


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
