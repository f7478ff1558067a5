"""How near a predicted mean profile is to the true one. All of these are high when the input is merely copied."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Array = np.ndarray
FLAT = 1e-6
"""A vector whose spread over genes (max − min) is at most this is constant: its correlation is 0, never NaN."""


def mse(truth: Float[Array, "condition gene"], predicted: Float[Array, "condition gene"]) -> Float[Array, "condition"]:
    """Mean squared error of the mean profile over genes.

    Units are those of the expression space, squared.
    """
    return np.mean(np.square(_f64(truth) - _f64(predicted)), axis=-1)


def rmse(truth: Float[Array, "condition gene"], predicted: Float[Array, "condition gene"]) -> Float[Array, "condition"]:
    """Root of the mean squared error of the mean profile over genes, in the units of the expression space."""
    return np.sqrt(mse(truth, predicted))


def mae(truth: Float[Array, "condition gene"], predicted: Float[Array, "condition gene"]) -> Float[Array, "condition"]:
    """Mean absolute error of the mean profile over genes, in the units of the expression space."""
    return np.mean(np.abs(_f64(truth) - _f64(predicted)), axis=-1)


def r2(truth: Float[Array, "condition gene"], predicted: Float[Array, "condition gene"]) -> Float[Array, "condition"]:
    """Coefficient of determination of the mean profile, truth first; may be negative.

    1 − Σ(t − p)² / Σ(t − mean t)². Not symmetric: the spread is the truth's. A truth that is constant over genes scores 1
    if met exactly and 0 otherwise, as scikit-learn has it.
    """
    t, p = _f64(truth), _f64(predicted)
    residual = np.square(t - p).sum(axis=-1)
    total = np.square(t - t.mean(axis=-1, keepdims=True)).sum(axis=-1)
    flat = constant(t)
    return np.where(flat, np.where(residual == 0, 1.0, 0.0), 1 - residual / np.where(flat, 1.0, total))


def r2_pearson(
    truth: Float[Array, "condition gene"], predicted: Float[Array, "condition gene"]
) -> Float[Array, "condition"]:
    """Squared Pearson correlation of the mean profiles, which many papers, CycSeq's among them, call R²."""
    return np.square(pearson(truth, predicted))


def pearson(a: Float[Array, "condition gene"], b: Float[Array, "condition gene"]) -> Float[Array, "condition"]:
    """Pearson correlation over genes, row by row; 0 where either side is constant (spread ≤ 1e-6)."""
    x, y = _f64(a), _f64(b)
    flat = constant(x) | constant(y)
    x = x - x.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.square(x).sum(axis=-1)) * np.sqrt(np.square(y).sum(axis=-1))
    r = (x * y).sum(axis=-1) / np.where(flat, 1.0, scale)
    return np.where(flat, 0.0, np.clip(r, -1.0, 1.0))


def constant(x: Float[Array, "condition gene"]) -> Array:
    """Tell which rows do not vary over genes (spread ≤ 1e-6): boolean, one a condition."""
    return np.ptp(x, axis=-1) <= FLAT


def _f64(x: Array) -> Array:
    return np.asarray(x, dtype=np.float64)
