"""Agreement of the true and the predicted change from the input's state: δ = truth − reference, δ̂ = prediction − input.

The truth's change is measured from reference cells that the model never saw, the predicted one from the input cells, so
that the noise of one control mean cannot correlate with itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.scoring.metrics.metric import Array, GeneMask, Metric, PerCondition, PerGene
from benchmarks.scoring.metrics.profile import FLAT, constant, f64, pearson

MIN_LFC_GENES = 10
"""Fewer truth-significant genes than this, and `nmae_lfc` has no value."""


def pearson_delta(delta: PerGene, delta_hat: PerGene) -> PerCondition:
    """Pearson correlation of true and predicted change over genes; a constant prediction scores 0."""
    return pearson(delta, delta_hat)


def spearman_delta(delta: PerGene, delta_hat: PerGene) -> PerCondition:
    """Spearman correlation of true and predicted change over genes, ties by mid-rank; a constant prediction scores 0."""
    flat = constant(np.asarray(delta)) | constant(np.asarray(delta_hat))
    return np.where(flat, 0.0, pearson(mid_ranks(delta), mid_ranks(delta_hat)))


def cosine_delta(delta: PerGene, delta_hat: PerGene) -> PerCondition:
    """Cosine of true and predicted change over genes; a change that is constant over genes scores 0.

    Unlike the correlation it does not take the mean over genes out, so a shift common to all genes counts; a prediction
    that is nothing but such a shift still scores 0, as in every metric of the change.
    """
    x, y = f64(delta), f64(delta_hat)
    flat = constant(x) | constant(y)
    scale = np.sqrt(np.square(x).sum(axis=-1)) * np.sqrt(np.square(y).sum(axis=-1))
    cosine = (x * y).sum(axis=-1) / np.where(flat, 1.0, scale)
    return np.where(flat, 0.0, np.clip(cosine, -1.0, 1.0))


def pearson_delta_centroid(delta_centred: PerGene, delta_hat_centred: PerGene) -> PerCondition:
    """Pearson correlation of the changes after the training perturbations' mean effect is taken from both sides.

    What is left is specific to the perturbation; a model that predicts the mean effect for every perturbation scores 0.
    """
    return pearson(delta_centred, delta_hat_centred)


def sign_accuracy(delta: PerGene, delta_hat: PerGene, significant: GeneMask) -> PerCondition:
    """Share of truth-significant genes whose change has the true sign; no predicted change counts as wrong.

    A predicted change of at most 1e-6 is rounding, not a change. A significant gene whose true means do not differ at all has
    no sign and is left out; NaN where no gene is left.
    """
    tested = significant & (delta != 0)
    right = (tested & (np.sign(delta_hat) == np.sign(delta)) & (np.abs(delta_hat) > FLAT)).sum(axis=-1)
    total = tested.sum(axis=-1)
    return np.where(total > 0, right / np.maximum(total, 1), np.nan)


def nmae_lfc(delta: PerGene, delta_hat: PerGene, significant: GeneMask) -> PerCondition:
    """Absolute error of the change over truth-significant genes, relative to the true change: Σ|δ̂ − δ| / Σ|δ|.

    1 is what predicting no change scores. NaN where fewer than 10 genes are significant.
    """
    d, d_hat = f64(delta), f64(delta_hat)
    error = np.where(significant, np.abs(d_hat - d), 0.0).sum(axis=-1)
    size = np.where(significant, np.abs(d), 0.0).sum(axis=-1)
    enough = (np.asarray(significant).sum(axis=-1) >= MIN_LFC_GENES) & (size > 0)
    return np.where(enough, error / np.where(enough, size, 1.0), np.nan)


def mid_ranks(x: PerGene) -> PerGene:
    """Rank the genes of each condition from 1 up, ties by mid-rank: as `scipy.stats.rankdata`, several times faster."""
    from benchmarks.scoring.metrics.compiled import place_ranks

    x = np.ascontiguousarray(x, dtype=np.float64)
    ranks = np.empty_like(x)
    place_ranks(x, np.argsort(x, axis=1), ranks)
    return ranks


def on_genes(fn: Callable[[Array, Array], Array], a: PerGene, b: PerGene, mask: GeneMask) -> PerCondition:
    """Apply a correlation of two arrays [condition, gene], such as `pearson`, to each condition's own set of genes.

    NaN where fewer than two genes are in the mask.
    """
    counts = np.asarray(mask).sum(axis=-1)
    values = np.full(len(counts), np.nan)
    for n in np.unique(counts[counts >= 2]):
        rows = np.flatnonzero(counts == n)  # conditions with equally many genes make one rectangular array
        chosen = mask[rows]
        values[rows] = fn(a[rows][chosen].reshape(-1, n), b[rows][chosen].reshape(-1, n))
    return values


_change = partial(Metric, family="change", best=1.0)
METRICS = (
    _change(pearson_delta),
    _change(spearman_delta),
    _change(cosine_delta),
    _change(pearson_delta_centroid, source="Systema, correction for systematic variation"),
    _change(sign_accuracy, undefined="too_few_genes"),
    _change(nmae_lfc, best=0.0, higher_is_better=False, undefined="too_few_genes"),
)
