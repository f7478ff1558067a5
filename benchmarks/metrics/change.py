"""How well the change from the input's state is predicted: δ = truth − reference, δ̂ = prediction − input.

The truth's change is measured from reference cells that the model never saw, the predicted one from the input cells, so
that the noise of one control mean cannot correlate with itself.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from benchmarks.metrics.profile import FLAT, pearson

Array = np.ndarray
ROUNDING = 1e-12
"""Cosines that differ by no more than float64 rounding are tied."""


def pearson_delta(
    delta: Float[Array, "condition gene"], delta_hat: Float[Array, "condition gene"]
) -> Float[Array, "condition"]:
    """Pearson correlation of true and predicted change over genes; a constant prediction scores 0."""
    return pearson(delta, delta_hat)


def pearson_delta_shared(
    delta: Float[Array, "condition gene"], delta_hat: Float[Array, "condition gene"]
) -> Float[Array, "condition"]:
    """The same with one control mean subtracted from both sides, as peers compute it: biased by shared noise, never ranked."""
    return pearson(delta, delta_hat)


def pds_cosine(
    delta: Float[Array, "condition gene"], delta_hat: Float[Array, "condition gene"]
) -> Float[Array, "condition"]:
    """Retrieval: is a predicted change nearer (cosine) to its own true change than to the other conditions'?

    1 − k / (n − 1), k = truths strictly closer + ½ (truths tied with its own, itself left out); 1 is best, 0.5 is chance.
    A constant prediction is as far from all and scores exactly 0.5.

    Parameters
    ----------
    delta, delta_hat
        Changes [condition, gene] of all test conditions of one context and fold; at least two.
    """
    t, p = (np.asarray(x, dtype=np.float64) for x in (delta, delta_hat))
    similarity = _unit(p) @ _unit(t).T
    own = np.diag(similarity)[:, None]
    closer = (similarity > own + ROUNDING).sum(axis=1)
    tied = (np.abs(similarity - own) <= ROUNDING).sum(axis=1)
    k = closer + 0.5 * (tied - 1)
    constant = np.ptp(p, axis=1) <= FLAT
    return np.where(constant, 0.5, 1 - k / (len(t) - 1))


def _unit(x: Array) -> Array:
    """Scale rows to length one; a row of zeros stays so, at cosine distance 1 from everything."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)
