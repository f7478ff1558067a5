"""How near the predicted cells are to the true ones as a population."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist, pdist

Array = np.ndarray
N_COMPONENTS = 50
"""Principal components of the TRAINING cells that distances are measured in."""


def e_distance(truth: Float[Array, "cell component"], predicted: Float[Array, "cell2 component"]) -> float:
    """Energy distance between true and predicted cells in the space of the training cells' principal components.

    U-statistic 2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ with n (n − 1) in the within terms and Euclidean norms (not squared):
    0 in expectation for equal distributions, so slightly negative values are noise.

    Parameters
    ----------
    truth, predicted
        Cells [cell, component], equally many on both sides (subsampled by the caller), at least two.

    Raises
    ------
    ValueError
        Fewer than two cells on a side.
    """
    if min(len(truth), len(predicted)) < 2:
        raise ValueError(f"e_distance needs at least 2 cells on each side; got {len(truth)} and {len(predicted)}.")
    x, y = (np.asarray(side, dtype=np.float64) for side in (truth, predicted))
    return float(2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean())


def equal_sizes(truth: Array, predicted: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Subsample the larger side without replacement, so that both have the same number of rows."""
    n = min(len(truth), len(predicted))

    def take(cells: Array) -> Array:
        return cells if len(cells) == n else cells[np.sort(generator.choice(len(cells), n, replace=False))]

    return take(truth), take(predicted)
