"""Retrieval: is a prediction nearer to its own condition than to the others of the same context and fold?

Every function takes all conditions at once, one row a condition, and returns NaN where there are fewer than three. A
prediction that failed must be in the array too, with the profile of its input: its truth stays a candidate.

The ranked metrics leave the perturbed genes of ALL candidates out of the distances. With a condition's own gene among them, or
only its own left out, the names of the perturbed genes are enough for the best value: every candidate stands out in its gene.
`own_gene` has the column of each condition's perturbed gene, −1 where it is not measured; it is two-dimensional for
combinations, with one column a gene and −1 as padding; None leaves out no gene.
"""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Int

from benchmarks.scoring.metrics.change import settled
from benchmarks.scoring.metrics.metric import Array, Metric, PerCondition, PerGene
from benchmarks.scoring.metrics.profile import FLAT, constant, f64

OwnGene: TypeAlias = Int[Array, "condition"] | Int[Array, "condition k"]
_VCC = "Virtual Cell Challenge 2025"
MIN_CONDITIONS = 3
"""Fewer candidates than this, and there is no retrieval score."""


def pds(delta: PerGene, delta_hat: PerGene, own_gene: OwnGene | None = None) -> PerCondition:
    """Perturbation discrimination: how many true changes lie nearer (L1) to a predicted change than its own?

    1 − rank / N, where rank = number of truths strictly nearer + ½ the number of others tied with its own; the perturbed
    genes of all candidates are left out of the distances. 1 is best; all tied gives (N + 1) / (2N). Distances that differ by
    at most 1e-6 a gene are tied.
    """
    t, p = _without_perturbed(own_gene, delta, delta_hat)
    return _discrimination(_city_block(p, t), t.shape[1])


def pds_cosine(delta: PerGene, delta_hat: PerGene, own_gene: OwnGene | None = None) -> PerCondition:
    """Perturbation discrimination by cosine: is a predicted change nearer to its own true change than to the others?

    1 − k / (n − 1), k = truths strictly nearer + ½ (others tied with its own), on the genes of `pds`; 1 is best, 0.5 is
    chance. A predicted change that is constant over genes is equally far from all and scores exactly 0.5. Changes of at
    most 1e-6 are 0, and cosines that differ by no more are tied.
    """
    return pds_cosine_vcc(*_without_perturbed(own_gene, delta, delta_hat))


def centroid_accuracy(truth: PerGene, predicted: PerGene, own_gene: OwnGene | None = None) -> PerCondition:
    """Share of the other conditions whose true profile lies farther (Euclidean) from the predicted one than its own.

    #{q ≠ p : d(p̂_p, t_q) > d(p̂_p, t_p)} / (Q − 1), on the genes of `pds`: a tie counts as wrong, so all tied gives 0.
    """
    t, p = _without_perturbed(own_gene, truth, predicted)
    nearer, tied = _compare_with_own(*_distances(p, t, np.mean(t, axis=0)))
    return (len(t) - 1 - nearer - tied) / (len(t) - 1)


def rank_perturbench(truth: PerGene, predicted: PerGene, own_gene: OwnGene | None = None) -> PerCondition:
    """Position of a condition's own prediction among all predictions, seen from its truth, divided by their number.

    0 is best. The distance is the Euclidean one of mean profiles, on the genes of `pds`; ties take the mean position.
    """
    t, p = _without_perturbed(own_gene, truth, predicted)
    nearer, tied = _compare_with_own(*_distances(t, p, np.mean(t, axis=0)))
    return (nearer + 0.5 * tied) / len(t)


def pds_vcc(delta: PerGene, delta_hat: PerGene, own_gene: OwnGene) -> PerCondition:
    """`pds` as published: only the condition's own perturbed gene is left out, so names alone reach the top."""
    t, p = f64(delta), f64(delta_hat)
    distance = _city_block(p, t)
    for columns in np.asarray(own_gene).reshape(len(t), -1).T:
        rows = np.flatnonzero(columns >= 0)
        own = columns[rows]
        distance[rows] -= np.abs(p[rows, own][:, None] - t[:, own].T)
    return _discrimination(distance, t.shape[1])


def pds_cosine_vcc(delta: PerGene, delta_hat: PerGene) -> PerCondition:
    """`pds_cosine` as published: on all genes, so names alone reach the top."""
    t, p = settled(f64(delta)), settled(f64(delta_hat))
    nearer, tied = _compare_with_own(-_unit(p) @ _unit(t).T, np.full((len(t), 1), FLAT))
    return np.where(constant(p) & np.isfinite(nearer), 0.5, 1 - (nearer + 0.5 * tied) / (len(t) - 1))


def _without_perturbed(own_gene: OwnGene | None, *profiles: PerGene) -> tuple[Array, ...]:
    """Drop the perturbed genes of all conditions from arrays [condition, gene]."""
    own = np.empty(0, dtype=np.int64) if own_gene is None else np.asarray(own_gene)
    return tuple(np.delete(f64(x), np.unique(own[own >= 0]), axis=1) for x in profiles)


def _city_block(x: Array, y: Array) -> Array:
    """L1 distances [row of x, row of y]."""
    from benchmarks.scoring.metrics.compiled import add_city_block

    distance = np.zeros((len(x), len(y)))
    add_city_block(np.ascontiguousarray(x), np.ascontiguousarray(y), distance)
    return distance


def _discrimination(distance: Array, n_genes: int) -> Array:
    """1 − rank / N of the row's own among L1 distances [prediction, truth]."""
    nearer, tied = _compare_with_own(distance, np.full((len(distance), 1), FLAT * n_genes))
    return 1 - (nearer + 0.5 * tied) / len(distance)


def _compare_with_own(distance: Array, slack: Array) -> tuple[Array, Array]:
    """Count, row by row, the others that are nearer than the row's own (the diagonal), and those as near within `slack`.

    Both are NaN where there are too few candidates.
    """
    if len(distance) < MIN_CONDITIONS:
        return np.full(len(distance), np.nan), np.full(len(distance), np.nan)
    gap = distance - np.diag(distance)[:, None]
    return (gap < -slack).sum(axis=1), (np.abs(gap) <= slack).sum(axis=1) - 1


def _distances(seen_from: Array, candidates: Array, centre: Array) -> tuple[Array, Array]:
    """Euclidean distances by one matrix product, and how far rounding may have moved each.

    Rounding moves a profile by up to `FLAT` a gene, and a squared distance by up to FLAT² of its terms. `centre` is taken off
    both sides first, because small numbers lose less to rounding.
    """
    x, y = f64(seen_from) - centre, f64(candidates) - centre
    sizes = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    slack = FLAT * (np.sqrt(x.shape[1]) + np.sqrt(sizes))
    return np.sqrt(np.maximum(sizes - 2 * (x @ y.T), 0.0)), slack


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
    _retrieval(pds_vcc, source=_VCC, scored=False),
    _retrieval(pds_cosine_vcc, source=f"{_VCC}, cosine variant", scored=False),
)
