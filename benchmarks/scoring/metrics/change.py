"""Agreement of the true and the predicted change from the input's state: δ = truth − reference, δ̂ = prediction − input.

The truth's change is measured from reference cells that the model never saw, the predicted one from the input cells, so
that the noise of one control mean cannot correlate with itself. The perturbed gene itself is left out of every ranked metric:
its change follows from the perturbation's name. The functions take the genes that they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.scoring.metrics.metric import (
    CHANGE,
    OWN_DEFINITION,
    Array,
    GeneMask,
    Metric,
    PerCondition,
    PerGene,
    Quantity,
    first_line,
)
from benchmarks.scoring.metrics.profile import FLAT, constant, f64, pearson

MIN_LFC_GENES = 10
"""Fewer truth-significant genes than this, and `nmae_lfc` has no value."""


def pearson_delta(delta: PerGene, delta_hat: PerGene) -> PerCondition:
    """Pearson correlation of true and predicted change over genes; a constant prediction scores 0."""
    return pearson(delta, delta_hat)


def spearman_delta(delta: PerGene, delta_hat: PerGene) -> PerCondition:
    """Spearman correlation of true and predicted change over genes, ties by mid-rank; a constant prediction scores 0.

    Changes of at most 1e-6 are ties at 0, so that rounding is not ranked.
    """
    flat = constant(np.asarray(delta)) | constant(np.asarray(delta_hat))
    return np.where(flat, 0.0, pearson(mid_ranks(settled(delta)), mid_ranks(settled(delta_hat))))


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

    What is left is specific to the perturbation. Each side has an estimate of the mean effect of its own, from disjoint
    halves of the training cells, so that the noise of one estimate does not correlate with itself.
    """
    return pearson(delta_centred, delta_hat_centred)


def sign_accuracy(delta: PerGene, delta_hat: PerGene, significant: GeneMask) -> PerCondition:
    """Share of truth-significant genes whose change has the true sign; no predicted change counts as wrong.

    A change of at most 1e-6 is rounding and counts as none. A significant gene whose true means do not differ has no sign and
    is left out; NaN where no gene is left.
    """
    sign = np.sign(settled(delta))
    tested = significant & (sign != 0)
    right = (tested & (np.sign(settled(delta_hat)) == sign)).sum(axis=-1)
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


def settled(x: PerGene) -> PerGene:
    """Set changes of at most 1e-6 to 0: they are rounding."""
    return np.where(np.abs(x) <= FLAT, 0.0, x)


def mid_ranks(x: PerGene) -> PerGene:
    """Rank the genes of each condition from 1 up, ties by mid-rank: as `scipy.stats.rankdata`, several times faster."""
    from benchmarks.scoring.metrics.compiled import place_ranks

    x = np.ascontiguousarray(x, dtype=np.float64)
    ranks = np.empty_like(x)
    place_ranks(x, np.argsort(x, axis=1), ranks)
    return ranks


def on_genes(
    fn: Callable[[Array, Array], Array], a: PerGene, b: PerGene, mask: GeneMask, *, too_few: float = np.nan
) -> PerCondition:
    """Apply a correlation of two arrays [condition, gene], such as `pearson`, to each condition's own set of genes.

    `too_few` is the value where fewer than two genes are in the mask.
    """
    counts = np.asarray(mask).sum(axis=-1)
    values = np.full(len(counts), too_few)
    for n in np.unique(counts[counts >= 2]):
        rows = np.flatnonzero(counts == n)  # conditions with equally many genes make one rectangular array
        chosen = mask[rows]
        values[rows] = fn(*(x[rows] if chosen.all() else x[rows][chosen].reshape(-1, n) for x in (a, b)))
    return values


def _other_genes(
    fn: Callable[[Array, Array], Array], needs: tuple[Quantity, ...] = CHANGE, source: str = OWN_DEFINITION
) -> Metric:
    """Make the metric of a correlation over all genes but the condition's own."""
    return _change(
        partial(on_genes, fn, too_few=0.0),
        name=fn.__name__,
        needs=(*needs, "other_genes"),
        summary=f"{first_line(fn)} The perturbed gene is left out.",
        source=source,
    )


_change = partial(Metric, family="change", best=1.0)
METRICS = (
    _other_genes(pearson_delta),
    _other_genes(spearman_delta),
    _other_genes(cosine_delta),
    _other_genes(
        pearson_delta_centroid,
        ("delta_centred", "delta_hat_centred"),
        "Systema, correction for systematic variation",
    ),
    _change(sign_accuracy, undefined="too_few_genes"),
    _change(nmae_lfc, best=0.0, higher_is_better=False, undefined="too_few_genes"),
)
