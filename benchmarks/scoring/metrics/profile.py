"""Distance and similarity of predicted and true mean profiles; a copy of the input scores high on all of them."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.scoring.metrics.metric import Array, Floor, Metric, PerCondition, PerGene

CYCSEQ_TABLE = "CycSeq (IJCAI 2025), Table 1"
FLAT = 1e-6
"""What rounding can move a value by: a vector whose spread over genes (max − min) is at most this is constant, its
correlation is 0, never NaN; a change of at most this is none; and values that differ by no more are ties."""


def mse(truth: PerGene, predicted: PerGene) -> PerCondition:
    """Mean squared error of the mean profile over genes.

    Units are those of the expression space, squared.
    """
    return np.mean(np.square(f64(truth) - f64(predicted)), axis=-1)


def rmse(truth: PerGene, predicted: PerGene) -> PerCondition:
    """Root of the mean squared error of the mean profile over genes, in the units of the expression space."""
    return np.sqrt(mse(truth, predicted))


def mae(truth: PerGene, predicted: PerGene) -> PerCondition:
    """Mean absolute error of the mean profile over genes, in the units of the expression space."""
    return np.mean(np.abs(f64(truth) - f64(predicted)), axis=-1)


def r2(truth: PerGene, predicted: PerGene) -> PerCondition:
    """Coefficient of determination of the mean profile, truth first; may be negative.

    1 − Σ(t − p)² / Σ(t − mean t)². Not symmetric: the spread is the truth's. A truth that is constant over genes scores 1
    if it is predicted exactly and 0 otherwise, as in scikit-learn.
    """
    t, p = f64(truth), f64(predicted)
    residual = np.square(t - p).sum(axis=-1)
    total = np.square(t - t.mean(axis=-1, keepdims=True)).sum(axis=-1)
    flat = constant(t)
    return np.where(flat, np.where(residual == 0, 1.0, 0.0), 1 - residual / np.where(flat, 1.0, total))


def r2_pearson(truth: PerGene, predicted: PerGene) -> PerCondition:
    """Squared Pearson correlation of the mean profiles, which many papers, CycSeq's among them, call R²."""
    return np.square(pearson(truth, predicted))


def pearson(a: PerGene, b: PerGene) -> PerCondition:
    """Pearson correlation over genes, row by row; 0 where either side is constant (spread ≤ 1e-6)."""
    x, y = f64(a), f64(b)
    flat = constant(x) | constant(y)
    x = x - x.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.square(x).sum(axis=-1)) * np.sqrt(np.square(y).sum(axis=-1))
    r = (x * y).sum(axis=-1) / np.where(flat, 1.0, scale)
    return np.where(flat, 0.0, np.clip(r, -1.0, 1.0))


def constant(x: PerGene) -> Array:
    """Mark the rows that do not vary over genes (spread ≤ 1e-6, or no gene): boolean, one a condition."""
    return x.max(axis=-1, initial=-np.inf) - x.min(axis=-1, initial=np.inf) <= FLAT


def f64(x: Array) -> Array:
    """Convert to float64, in which all sums are taken."""
    return np.asarray(x, dtype=np.float64)


_error = partial(Metric, family="profile", best=0.0, higher_is_better=False, scored=False)
_similarity = partial(Metric, family="profile", best=1.0, scored=False, floor=Floor(0.01))
METRICS = (
    _error(mse, source=CYCSEQ_TABLE),
    _error(mae, source=CYCSEQ_TABLE, floor=Floor(0.03, relative=True)),
    _error(rmse, source="root of mse", floor=Floor(0.03, relative=True)),
    _similarity(r2, source="coefficient of determination"),
    _similarity(r2_pearson, source=f"{CYCSEQ_TABLE}, as 'R²'"),
)
