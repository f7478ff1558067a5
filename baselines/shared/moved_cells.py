"""Cells moved by a change of their mean profile, as cells change: more or fewer of them express a gene, and zeros stay."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

SEED = 0
"""A mean change says nothing of single cells: models with the same one have the same cells, whatever their seed."""
HALVINGS = 36
"""Of the interval in which the logarithm of a rate's factor is searched."""
NEWTON_STEPS = 60
"""Most steps of Newton's method."""
BLOCK = 1 << 16
"""Expressed values that are moved at a time, about: their arrays stay in the processor's cache."""
REACH = 500.0
"""Largest absolute logarithm of a factor that is searched."""
TOLERANCE = 1e-10
"""Mean values that differ by no more are equal, in the space's unit."""


def moved_cells(cells: Any, change: np.ndarray) -> sp.csc_matrix | np.ndarray:
    """Move cells [cell, gene], dense or sparse, so that their mean profile changes by the mean of `change`.

    `change` is one for all cells [gene], or one for each [cell, gene]. Values are log2(x + 1) of linear ones. The rate of a
    gene is multiplied by a factor: as with counts, the share of cells without it becomes its k-th power, and the mean
    linear value k times as large; k is such that the mean profile is what is asked for. Which cells lose a gene, or gain it
    with the value of another cell, is drawn, alike for the same cells and change. A gene in no cell gets the least value of
    each cell that gains it. A gene whose mean does not change stays as it is, and a mean below 0 counts as 0. With a change
    for each cell, expressed values are first moved by their own.

    Returns a sparse matrix [cell, gene]. Where a value is below 0 (z-scores, corrected values), 0 is not the absence of a
    gene: the change is added, and the result is dense.
    """
    return CellsToMove(cells).by(change)


class CellsToMove:
    """Cells [cell, gene] that are moved by many changes, see `moved_cells`; what does not depend on a change is computed once."""

    def __init__(self, cells: Any) -> None:
        x = sp.csc_matrix(cells, dtype=np.float64)
        self.negative = x.nnz > 0 and x.data.min() < 0
        if not self.negative:
            x = x.copy() if x is cells else x
            x.sort_indices()
            x.eliminate_zeros()
            self.least, self.means, self.linear = _least(x), _means(x), np.exp2(x.data) - 1
        self.x = x

    def by(self, change: np.ndarray) -> sp.csc_matrix | np.ndarray:
        """Move them by a change [gene] or [cell, gene]."""
        if self.negative:
            return self.x.toarray() + change
        if change.ndim == 1:
            return _moved(self.x, self.linear, self.means, self.least, np.maximum(self.means + change, 0.0))
        target = np.maximum(self.means + change.mean(axis=0), 0.0)
        x = self.x.copy()
        x.data = np.maximum(x.data + change[x.indices, np.repeat(np.arange(x.shape[1]), np.diff(x.indptr))], 0.0)
        x.eliminate_zeros()
        return _moved(x, np.exp2(x.data) - 1, _means(x), _least(x), target)


def _moved(
    x: sp.csc_matrix, linear: np.ndarray, means: np.ndarray, least: np.ndarray, target: np.ndarray
) -> sp.csc_matrix:
    """Move cells from their means to others [gene]; `linear` are their linear values, `least` each cell's least value."""
    n, counts = x.shape[0], np.diff(x.indptr)
    there = counts > 0
    wanted, factor = n * target / least.mean(), np.zeros(len(target))
    share, factor[there] = _rates(counts[there] / n, (means * n)[there] / counts[there], target[there])
    wanted[there] = n * share
    wanted = np.where(target > 0, np.clip(np.rint(wanted), 1, n), 0).astype(np.int64)
    same = np.abs(target - means) <= TOLERANCE
    wanted[same] = counts[same]
    rng, parts, lowest = np.random.default_rng(SEED), [], np.exp2(least) - 1
    for first, last in _blocks(x.indptr):
        genes, own = slice(first, last), slice(x.indptr[first], x.indptr[last])
        values, rows = _expressed(linear[own], x.indices[own], counts[genes], wanted[genes], lowest, rng)
        scale = np.exp(_factors(values, wanted[genes], n * target[genes], factor[genes], n * TOLERANCE))
        moved = np.log2(1 + np.repeat(scale, wanted[genes]) * values)
        kept = np.repeat(same[genes], wanted[genes])
        moved[kept] = x.data[own][np.repeat(same[genes], counts[genes])]
        parts.append((moved, rows))
    values, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
    return sp.csc_matrix((values, rows, np.concatenate([[0], np.cumsum(wanted)])), shape=x.shape)


def _least(x: sp.csc_matrix) -> np.ndarray:
    """Least value of each cell that is not 0; 1 where it has none."""
    least = np.full(x.shape[0], np.inf)
    np.minimum.at(least, x.indices, x.data)
    least[~np.isfinite(least)] = 1.0
    return least


def _means(x: sp.csc_matrix) -> np.ndarray:
    """Mean of each gene over cells."""
    return np.asarray(x.sum(axis=0)).ravel() / x.shape[0]


def _blocks(ends: np.ndarray) -> list[tuple[int, int]]:
    """First and last gene, exclusive, of stretches of about `BLOCK` values."""
    cuts = np.unique([0, *np.searchsorted(ends, np.arange(BLOCK, ends[-1], BLOCK)), len(ends) - 1])
    return list(pairwise(cuts))


def _expressed(
    values: np.ndarray,
    rows: np.ndarray,
    counts: np.ndarray,
    wanted: np.ndarray,
    least: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Let as many cells express each gene as are wanted, drawn by systematic sampling; their values are not scaled yet.

    `values` and `rows` are those of `counts` cells of each gene, one gene after the other, rows ascending.
    """
    n, starts, draw = len(least), np.cumsum(counts) - counts, rng.random(len(counts))
    left = np.minimum(wanted, counts)
    gained, kept, loses = wanted - left, np.ones(len(values), dtype=bool), left < counts
    place = _places(counts[loses])
    of, among, start = (np.repeat(part[loses], counts[loses]) for part in (left, counts, draw))
    rises = np.floor((place + 1) * of / among + start) > np.floor(place * of / among + start)
    kept[np.repeat(loses, counts)] = rises
    # of the other cells, in their order, those at which the number that has been drawn rises
    gene = np.repeat(np.arange(len(counts)), gained)
    other = np.ceil((_places(gained) + 1 - draw[gene]) * (n - counts[gene]) / gained[gene]).astype(np.int64) - 1
    # cells that express the gene and come before
    gains = np.where(gained > 0, counts, 0)
    keys = np.repeat(np.arange(len(counts)), gains) * (n + 1) + rows[np.repeat(gained > 0, counts)] - _places(gains)
    before = np.searchsorted(keys, gene * (n + 1) + other, side="right") - (np.cumsum(gains) - gains)[gene]
    new_rows, known = other + before, counts[gene] > 0
    new = least[new_rows]
    new[known] = values[(starts[gene] + (rng.random(len(gene)) * counts[gene]).astype(np.int64))[known]]
    where = (np.cumsum(left) - left)[gene] + before
    return np.insert(values[kept], where, new), np.insert(rows[kept], where, new_rows)


def _places(counts: np.ndarray) -> np.ndarray:
    """Number the values of each gene from 0, one gene after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _rates(share: np.ndarray, level: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of cells that express a gene once its mean is `target`, and about the logarithm of the factor of their values.

    From the share and the mean value of the cells that express it. The rate −log(1 − share) is multiplied by k, the mean
    linear value of all cells too. A gene that all cells express stays so.
    """
    rate = -np.log1p(-np.minimum(share, 1 - 1e-12))
    linear = share * (np.exp2(level) - 1)
    low, high = np.full(len(share), -REACH), np.full(len(share), REACH)

    def expressed(log_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = np.exp(log_k)
        found = -np.expm1(-k * rate)
        return found, k / found

    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found, k = expressed(middle)
        short = found * np.log2(1 + k * linear) < target
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    found, k = expressed((low + high) / 2)
    return np.where(share < 1, found, 1.0), np.log(k * share)


def _factors(
    linear: np.ndarray, counts: np.ndarray, total: np.ndarray, first: np.ndarray, tolerance: float
) -> np.ndarray:
    """Logarithm of each gene's factor with which Σ log2(factor · linear + 1) is `total`, by Newton's method from a first one."""
    found, open_ = first.copy(), np.flatnonzero(counts)
    counts, wanted = counts[open_], total * np.log(2)
    for _ in range(NEWTON_STEPS):
        if not len(open_):
            break
        values, starts = linear * np.repeat(np.exp(found[open_]), counts), np.cumsum(counts) - counts
        missing = wanted[open_] - np.add.reduceat(np.log1p(values), starts)
        slope = np.add.reduceat(values / (1 + values), starts)
        off = (np.abs(missing) > tolerance) & (slope > 0)
        found[open_[off]] = np.clip(found[open_[off]] + missing[off] / slope[off], -REACH, REACH)
        linear, counts, open_ = linear[np.repeat(off, counts)], counts[off], open_[off]
    return found
