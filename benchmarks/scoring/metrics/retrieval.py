"""Can the condition be told from its prediction? Candidates are all test conditions of one context and fold.

Every function takes all of them at once, one row a condition, and gives NaN where there are fewer than three. A prediction
that failed must be in the array too, with the profile of its input: its truth stays a candidate.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from benchmarks.scoring.metrics.profile import constant

Array = np.ndarray
MIN_CONDITIONS = 3
"""Fewer candidates than this, and there is no retrieval score."""
ROWS, GENES = 64, 512
"""Tile in which L1 distances are summed: 256 KiB of float64."""
ROUNDING = 1e-12
"""Distances that differ by no more than float64 rounding, relative to what was summed, are tied."""


def pds(
    delta: Float[Array, "condition gene"],
    delta_hat: Float[Array, "condition gene"],
    own_gene: Int[Array, "condition"] | Int[Array, "condition k"],
) -> Float[Array, "condition"]:
    """Perturbation discrimination: how many true changes lie nearer (L1) to a predicted change than its own?

    1 − rank / N, where rank = number of truths strictly nearer + ½ the number of others tied with its own; the perturbed
    gene's own column is left out of the distances. 1 is best; all tied gives (N + 1) / (2N).

    Parameters
    ----------
    delta, delta_hat
        Changes of all N conditions.
    own_gene
        Column of each condition's perturbed gene; −1 where it is not measured. Two-dimensional for combinations, with one
        column a gene and −1 as padding.

    Source: Virtual Cell Challenge 2025.
    """
    t, p = (np.ascontiguousarray(x, dtype=np.float64) for x in (delta, delta_hat))
    if len(t) < MIN_CONDITIONS:
        return np.full(len(t), np.nan)
    distance = np.zeros((len(t), len(t)))  # [prediction, truth]
    _add_city_block(p, t, distance)
    slack = ROUNDING * distance
    for columns in np.asarray(own_gene).reshape(len(t), -1).T:
        rows = np.flatnonzero(columns >= 0)
        own = columns[rows]
        distance[rows] -= np.abs(p[rows, own][:, None] - t[:, own].T)
    nearer, tied = _against_own(distance, slack)
    return 1 - (nearer + 0.5 * tied) / len(t)


def pds_cosine(
    delta: Float[Array, "condition gene"], delta_hat: Float[Array, "condition gene"]
) -> Float[Array, "condition"]:
    """Perturbation discrimination by cosine: is a predicted change nearer to its own true change than to the others?

    1 − k / (n − 1), k = truths strictly nearer + ½ (others tied with its own); 1 is best, 0.5 is chance. A change that is
    constant over genes, predicted for one condition, is as far from all and scores exactly 0.5.
    """
    t, p = _f64(delta), _f64(delta_hat)
    if len(t) < MIN_CONDITIONS:
        return np.full(len(t), np.nan)
    nearer, tied = _against_own(-_unit(p) @ _unit(t).T, np.full((len(t), 1), ROUNDING))
    return np.where(constant(p), 0.5, 1 - (nearer + 0.5 * tied) / (len(t) - 1))


def centroid_accuracy(
    truth: Float[Array, "condition gene"], predicted: Float[Array, "condition gene"]
) -> Float[Array, "condition"]:
    """Share of the other conditions whose true profile lies farther (Euclidean) from the predicted one than its own.

    #{q ≠ p : d(p̂_p, t_q) > d(p̂_p, t_p)} / (Q − 1): a tie counts as wrong, so all tied gives 0.
    """
    n = len(truth)
    if n < MIN_CONDITIONS:
        return np.full(n, np.nan)
    nearer, tied = _against_own(*_squared_distances(predicted, truth, np.mean(truth, axis=0)))
    return (n - 1 - nearer - tied) / (n - 1)


def rank_perturbench(
    truth: Float[Array, "condition gene"], predicted: Float[Array, "condition gene"]
) -> Float[Array, "condition"]:
    """Position of a condition's own prediction among all predictions, seen from its truth, divided by their number.

    0 is best. The distance is the Euclidean one of mean profiles; ties take the mean position.

    Source: the rank metric of PerturBench.
    """
    n = len(truth)
    if n < MIN_CONDITIONS:
        return np.full(n, np.nan)
    nearer, tied = _against_own(*_squared_distances(truth, predicted, np.mean(truth, axis=0)))
    return (nearer + 0.5 * tied) / n


def _against_own(
    distance: Float[Array, "condition condition"], slack: Float[Array, "condition #condition"]
) -> tuple[Array, Array]:
    """Count, row by row, the others that are nearer than the row's own (the diagonal), and those as near within `slack`."""
    gap = distance - np.diag(distance)[:, None]
    nearer = (gap < -slack).sum(axis=1)
    tied: Bool[Array, "condition condition"] = np.abs(gap) <= slack
    return nearer, tied.sum(axis=1) - 1


def _squared_distances(seen_from: Array, candidates: Array, centre: Array) -> tuple[Array, Array]:
    """Squared Euclidean distances by one matrix product, and how far rounding may have moved each.

    `centre` is taken off both sides first, because small numbers lose less to rounding.
    """
    x, y = _f64(seen_from) - centre, _f64(candidates) - centre
    sizes = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    return sizes - 2 * (x @ y.T), ROUNDING * sizes


def _unit(x: Array) -> Array:
    """Scale rows to length one; a row of zeros stays so, at cosine distance 1 from everything."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def _f64(x: Array) -> Array:
    return np.asarray(x, dtype=np.float64)


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _add_city_block(x, y, distance):  # type: ignore[no-untyped-def]
    """Add the L1 distance of every row of x from every row of y: several times faster than SciPy's cdist.

    Rows and genes are taken in tiles that stay in the cache, and four rows of y at a time share each value of x.
    """
    n_rows, n_genes, n_others = x.shape[0], x.shape[1], y.shape[0]
    for first_row in range(0, n_rows, ROWS):
        for gene in range(0, n_genes, GENES):
            end = min(n_genes, gene + GENES)
            for other in range(0, n_others, 4):
                left = n_others - other
                a = y[other, gene:end]
                b, c, d = (
                    y[other + min(1, left - 1), gene:end],
                    y[other + min(2, left - 1), gene:end],
                    y[other + min(3, left - 1), gene:end],
                )
                for row in range(first_row, min(n_rows, first_row + ROWS)):
                    values = x[row, gene:end]
                    to_a, to_b, to_c, to_d = 0.0, 0.0, 0.0, 0.0
                    for k in range(end - gene):
                        value = values[k]
                        to_a += abs(value - a[k])
                        to_b += abs(value - b[k])
                        to_c += abs(value - c[k])
                        to_d += abs(value - d[k])
                    for i, part in enumerate((to_a, to_b, to_c, to_d)):
                        if i < left:
                            distance[row, other + i] += part
