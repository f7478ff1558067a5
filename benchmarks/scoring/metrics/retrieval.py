"""Retrieval: is a prediction nearer to its own condition than to the others of the same context and fold?

Every function takes all conditions at once, one row a condition, and returns NaN where there are fewer than three. A
prediction that failed must be in the array too, with the profile of its input: its truth stays a candidate.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Int

from benchmarks.scoring.metrics.metric import Array, Metric, PerCondition, PerGene
from benchmarks.scoring.metrics.profile import constant, f64

_VCC = "Virtual Cell Challenge 2025"
MIN_CONDITIONS = 3
"""Fewer candidates than this, and there is no retrieval score."""
ROUNDING = 1e-12
"""Distances that differ by no more than float64 rounding, relative to what was summed, are tied."""


def pds(
    delta: PerGene, delta_hat: PerGene, own_gene: Int[Array, "condition"] | Int[Array, "condition k"]
) -> PerCondition:
    """Perturbation discrimination: how many true changes lie nearer (L1) to a predicted change than its own?

    1 − rank / N, where rank = number of truths strictly nearer + ½ the number of others tied with its own; the perturbed
    gene's own column is left out of the distances. 1 is best; all tied gives (N + 1) / (2N).

    `own_gene` has the column of each condition's perturbed gene, −1 where it is not measured; it is two-dimensional for
    combinations, with one column a gene and −1 as padding.
    """
    from benchmarks.scoring.metrics.compiled import add_city_block

    t, p = (np.ascontiguousarray(x, dtype=np.float64) for x in (delta, delta_hat))
    distance = np.zeros((len(t), len(t)))  # [prediction, truth]
    add_city_block(p, t, distance)
    slack = ROUNDING * distance
    for columns in np.asarray(own_gene).reshape(len(t), -1).T:
        rows = np.flatnonzero(columns >= 0)
        own = columns[rows]
        distance[rows] -= np.abs(p[rows, own][:, None] - t[:, own].T)
    nearer, tied = _compare_with_own(distance, slack)
    return 1 - (nearer + 0.5 * tied) / len(t)


def pds_cosine(delta: PerGene, delta_hat: PerGene) -> PerCondition:
    """Perturbation discrimination by cosine: is a predicted change nearer to its own true change than to the others?

    1 − k / (n − 1), k = truths strictly nearer + ½ (others tied with its own); 1 is best, 0.5 is chance. A predicted
    change that is constant over genes is equally far from all and scores exactly 0.5.
    """
    t, p = f64(delta), f64(delta_hat)
    nearer, tied = _compare_with_own(-_unit(p) @ _unit(t).T, np.full((len(t), 1), ROUNDING))
    return np.where(constant(p) & np.isfinite(nearer), 0.5, 1 - (nearer + 0.5 * tied) / (len(t) - 1))


def centroid_accuracy(truth: PerGene, predicted: PerGene) -> PerCondition:
    """Share of the other conditions whose true profile lies farther (Euclidean) from the predicted one than its own.

    #{q ≠ p : d(p̂_p, t_q) > d(p̂_p, t_p)} / (Q − 1): a tie counts as wrong, so all tied gives 0.
    """
    nearer, tied = _compare_with_own(*_squared_distances(predicted, truth, np.mean(truth, axis=0)))
    return (len(truth) - 1 - nearer - tied) / (len(truth) - 1)


def rank_perturbench(truth: PerGene, predicted: PerGene) -> PerCondition:
    """Position of a condition's own prediction among all predictions, seen from its truth, divided by their number.

    0 is best. The distance is the Euclidean one of mean profiles; ties take the mean position.
    """
    nearer, tied = _compare_with_own(*_squared_distances(truth, predicted, np.mean(truth, axis=0)))
    return (nearer + 0.5 * tied) / len(truth)


def _compare_with_own(distance: Array, slack: Array) -> tuple[Array, Array]:
    """Count, row by row, the others that are nearer than the row's own (the diagonal), and those as near within `slack`.

    Both are NaN where there are too few candidates.
    """
    if len(distance) < MIN_CONDITIONS:
        return np.full(len(distance), np.nan), np.full(len(distance), np.nan)
    gap = distance - np.diag(distance)[:, None]
    return (gap < -slack).sum(axis=1), (np.abs(gap) <= slack).sum(axis=1) - 1


def _squared_distances(seen_from: Array, candidates: Array, centre: Array) -> tuple[Array, Array]:
    """Squared Euclidean distances by one matrix product, and how far rounding may have moved each.

    `centre` is taken off both sides first, because small numbers lose less to rounding.
    """
    x, y = f64(seen_from) - centre, f64(candidates) - centre
    sizes = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    return sizes - 2 * (x @ y.T), ROUNDING * sizes


def _unit(x: Array) -> Array:
    """Scale rows to length one; a row of zeros stays so, at cosine distance 1 from everything."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


_retrieval = partial(Metric, family="retrieval", best=1.0, undefined="too_few_conditions")
METRICS = (
    _retrieval(pds, source=_VCC),
    _retrieval(pds_cosine, source=f"{_VCC}, cosine variant"),
    _retrieval(centroid_accuracy, source="Systema, centroid accuracy"),
    _retrieval(rank_perturbench, best=0.0, higher_is_better=False, source="PerturBench, rank metric"),
)
