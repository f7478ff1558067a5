"""Retrieval: is a prediction nearer to its own condition than to the others of the same context and fold?

Every function takes all conditions at once, one row a condition, and returns NaN where there are fewer than three. A
prediction that failed must be in the array too, with the profile of its input: its truth stays a candidate.

The ranked metrics leave the perturbed genes of ALL candidates out of the distances. With a condition's own gene among them, or
only its own left out, the names of the perturbed genes are enough for the best value: every candidate stands out in its gene.
`own_gene` has the column of each condition's perturbed gene, −1 where it is not measured; it is two-dimensional for
combinations, with one column a gene and −1 as padding; None leaves out no gene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
from jaxtyping import Int

from benchmarks.scoring.metrics.change import settled
from benchmarks.scoring.metrics.metric import Array, Metric, PerCondition, PerGene
from benchmarks.scoring.metrics.profile import FLAT, f64

OwnGene: TypeAlias = Int[Array, "condition"] | Int[Array, "condition k"]
_VCC = "Virtual Cell Challenge 2025"
BLOCK = 1 << 21
"""Values of a table that are read at a time."""
MIN_CONDITIONS = 3
"""Fewer candidates than this, and there is no retrieval score."""


class Indexed(Protocol):
    """Rows [gene], read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Array: ...


class Rows:
    """A table [condition, gene] of some rows, less others where these are given, read some genes at a time."""

    def __init__(self, rows: Indexed, numbers: Sequence[int] | Array, less: Sequence[Array] | None = None) -> None:
        self._rows, self._numbers, self._less = rows, numbers, less
        self.shape = len(numbers), len(rows[numbers[0]])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: tuple[slice, Array]) -> Array:
        found = np.empty((len(self), len(where[1])))
        for place, number in enumerate(self._numbers):
            found[place] = self._rows[number][where[1]]
            if self._less is not None:
                found[place] -= self._less[place][where[1]]
        return found


Table: TypeAlias = PerGene | Rows


def pds(delta: Table, delta_hat: Table, own_gene: OwnGene | None = None) -> PerCondition:
    """Perturbation discrimination: how many true changes lie nearer (L1) to a predicted change than its own?

    1 − rank / N, where rank = number of truths strictly nearer + ½ the number of others tied with its own; the perturbed
    genes of all candidates are left out of the distances. 1 is best; all tied gives (N + 1) / (2N). Distances that differ by
    at most 1e-6 a gene are tied.
    """
    return _discrimination(*_city_block(delta_hat, delta, own_gene))


def pds_cosine(delta: Table, delta_hat: Table, own_gene: OwnGene | None = None) -> PerCondition:
    """Perturbation discrimination by cosine: is a predicted change nearer to its own true change than to the others?

    1 − k / (n − 1), k = truths strictly nearer + ½ (others tied with its own), on the genes of `pds`; 1 is best, 0.5 is
    chance. A predicted change that is constant over genes is equally far from all and scores exactly 0.5. Changes of at
    most 1e-6 are 0, and cosines that differ by no more are tied.
    """
    shape = len(delta), len(delta)
    products, sizes = np.zeros(shape), np.zeros((2, len(delta)))
    low, high = np.full(len(delta), np.inf), np.full(len(delta), -np.inf)
    for p, t in _blocks(own_gene, delta_hat, delta):
        p, t = settled(p), settled(t)
        products += p @ t.T
        sizes += np.square(p).sum(axis=1), np.square(t).sum(axis=1)
        low, high = np.minimum(low, p.min(axis=1)), np.maximum(high, p.max(axis=1))
    length, true_length = np.sqrt(sizes)
    lengths = length[:, None] * true_length
    cosines = np.divide(
        products, lengths, out=np.zeros(shape), where=lengths > 0
    )  # a change of 0 is at distance 1 from all
    nearer, tied = _compare_with_own(-cosines, np.full((len(delta), 1), FLAT))
    return np.where((high - low <= FLAT) & np.isfinite(nearer), 0.5, 1 - (nearer + 0.5 * tied) / (len(delta) - 1))


def centroid_accuracy(truth: Table, predicted: Table, own_gene: OwnGene | None = None) -> PerCondition:
    """Share of the other conditions whose true profile lies farther (Euclidean) from the predicted one than its own.

    #{q ≠ p : d(p̂_p, t_q) > d(p̂_p, t_p)} / (Q − 1), on the genes of `pds`: a tie counts as wrong, so all tied gives 0.
    """
    nearer, tied = _compare_with_own(*_distances(truth, predicted, own_gene))
    return (len(truth) - 1 - nearer - tied) / (len(truth) - 1)


def rank_perturbench(truth: Table, predicted: Table, own_gene: OwnGene | None = None) -> PerCondition:
    """Position of a condition's own prediction among all predictions, seen from its truth, divided by their number.

    0 is best. The distance is the Euclidean one of mean profiles, on the genes of `pds`; ties take the mean position.
    """
    distance, slack = _distances(truth, predicted, own_gene)
    nearer, tied = _compare_with_own(distance.T, slack.T)
    return (nearer + 0.5 * tied) / len(truth)


def pds_vcc(delta: Table, delta_hat: Table, own_gene: OwnGene) -> PerCondition:
    """`pds` as published: only the condition's own perturbed gene is left out, so names alone reach the top."""
    distance, n_genes = _city_block(delta_hat, delta, None)
    for columns in np.asarray(own_gene).reshape(len(delta), -1).T:
        rows = np.flatnonzero(columns >= 0)
        own, back = np.unique(columns[rows], return_inverse=True)
        if len(rows):
            p, t = (f64(side[:, own]) for side in (delta_hat, delta))
            distance[rows] -= np.abs(p[rows, back][:, None] - t[:, back].T)
    return _discrimination(distance, n_genes)


def pds_cosine_vcc(delta: Table, delta_hat: Table) -> PerCondition:
    """`pds_cosine` as published: on all genes, so names alone reach the top."""
    return pds_cosine(delta, delta_hat)


def _blocks(own_gene: OwnGene | None, *tables: Table) -> Iterator[tuple[Array, ...]]:
    """Read the genes that are perturbed in no condition, some at a time, in float64."""
    own = np.empty(0, dtype=np.int64) if own_gene is None else np.asarray(own_gene)
    genes = np.delete(np.arange(tables[0].shape[1]), np.unique(own[own >= 0]))
    step = max(1, BLOCK // len(tables[0]))
    for first in range(0, len(genes), step):
        yield tuple(f64(table[:, genes[first : first + step]]) for table in tables)


def _city_block(x: Table, y: Table, own_gene: OwnGene | None) -> tuple[Array, int]:
    """L1 distances [row of x, row of y], and the number of genes that they are sums over."""
    from benchmarks.scoring.metrics.compiled import add_city_block

    distance, n_genes = np.zeros((len(x), len(y))), 0
    for one, other in _blocks(own_gene, x, y):
        add_city_block(np.ascontiguousarray(one), np.ascontiguousarray(other), distance)
        n_genes += one.shape[1]
    return distance, n_genes


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


def _distances(truth: Table, predicted: Table, own_gene: OwnGene | None) -> tuple[Array, Array]:
    """Euclidean distances [prediction, truth] by matrix products, and how far rounding may have moved each.

    Rounding moves a profile by up to `FLAT` a gene, and a squared distance by up to FLAT² of its terms. The truth's mean is
    taken off both sides first, because small numbers lose less to rounding.
    """
    shape = len(predicted), len(truth)
    sizes, products, n_genes = np.zeros(shape), np.zeros(shape), 0
    for p, t in _blocks(own_gene, predicted, truth):
        centre = np.mean(t, axis=0)
        p, t = p - centre, t - centre
        sizes += np.square(p).sum(axis=1)[:, None] + np.square(t).sum(axis=1)
        products += p @ t.T
        n_genes += p.shape[1]
    slack = FLAT * (np.sqrt(n_genes) + np.sqrt(sizes))
    return np.sqrt(np.maximum(sizes - 2 * products, 0.0)), slack


_retrieval = partial(Metric, family="retrieval", best=1.0, undefined="too_few_conditions")
METRICS = (
    _retrieval(pds, source=_VCC),
    _retrieval(pds_cosine, source=f"{_VCC}, cosine variant"),
    _retrieval(centroid_accuracy, source="Systema, centroid accuracy"),
    _retrieval(rank_perturbench, best=0.0, higher_is_better=False, source="PerturBench, rank metric"),
    _retrieval(pds_vcc, source=_VCC, scored=False),
    _retrieval(pds_cosine_vcc, source=f"{_VCC}, cosine variant", scored=False),
)
