"""Cells moved by a change of their mean profile, as cells change: more or fewer of them express a gene, and zeros stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

SEED = 0
"""A mean change says nothing of single cells: models with the same one have the same cells, whatever their seed."""
STEPS = 60
"""Halvings of the logarithm of a rate's factor, and most steps of Newton's method."""
BLOCK = 256
"""Genes moved at a time."""
REACH = 500.0
"""Largest absolute logarithm of a factor that is searched."""
TOLERANCE = 1e-10
"""Mean values that differ by no more are equal, in the space's unit."""


def moved_cells(cells: Any, change: np.ndarray) -> np.ndarray:
    """Move cells [cell, gene], dense or sparse, so that their mean profile changes by the mean of `change`.

    `change` is one for all cells [gene], or one for each [cell, gene]. Values are log2(x + 1) of linear ones. The rate of a
    gene is multiplied by a factor: as with counts, the share of cells without it becomes its k-th power, and the mean
    linear value k times as large; k is such that the mean profile is what is asked for. Which cells lose a gene, or gain it
    with the value of another cell, is drawn, alike for the same cells and change. A gene in no cell gets the least value of
    each cell that gains it. A gene whose mean does not change stays as it is, and a mean below 0 counts as 0. With a change
    for each cell, expressed values are first moved by their own.

    Where a value is below 0 (z-scores, corrected values), 0 is not the absence of a gene, and the change is added.
    """
    x = np.asarray(cells.toarray() if sp.issparse(cells) else cells, dtype=np.float64)
    if x.size and x.min() < 0:
        return x + change
    target = np.maximum((x + change).mean(axis=0), 0.0)
    if change.ndim == 2:
        x = np.where(x > 0, np.maximum(x + change, 0.0), 0.0)
    genes = np.flatnonzero(np.abs(target - x.mean(axis=0)) > TOLERANCE)
    if len(genes):
        least = np.min(x, axis=1, where=x > 0, initial=np.inf)
        least = np.where(np.isfinite(least), least, 1.0)
        x, rng = x.copy(), np.random.default_rng(SEED)
        for first in range(0, len(genes), BLOCK):
            block = genes[first : first + BLOCK]
            x[:, block] = _scaled(_expressed(x[:, block], target[block], least, rng), target[block])
    return x


def _expressed(x: np.ndarray, target: np.ndarray, least: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let as many cells express each gene as its new rate asks for; their values are not scaled yet."""
    n, on = len(x), x > 0
    count = on.sum(axis=0)
    wanted = np.where(
        count > 0, n * _share(count / n, x.sum(axis=0) / np.maximum(count, 1), target), n * target / least.mean()
    )
    wanted = np.where(target > 0, np.clip(np.rint(wanted), 1, n), 0)
    kept, gained = _choose(on, np.minimum(wanted, count), rng), _choose(~on, np.maximum(wanted - count, 0), rng)
    column = sp.csc_matrix(x)
    row, gene = np.nonzero(gained)
    moved = np.where(kept, x, 0.0)
    moved[row, gene] = least[row]
    other = column.indptr[gene] + (rng.random(len(gene)) * count[gene]).astype(int)  # a cell that expresses it
    known = count[gene] > 0
    moved[row[known], gene[known]] = column.data[other[known]]
    return moved


def _share(share: np.ndarray, level: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Share of cells that express a gene once its mean is `target`, from the share and the mean value of those that do.

    The rate −log(1 − share) is multiplied by k, the mean linear value of all cells too. A gene that all cells express stays
    so.
    """
    rate = -np.log1p(-np.minimum(share, 1 - 1e-12))
    linear = np.exp2(level) - 1
    low, high = np.full(len(share), -REACH), np.full(len(share), REACH)
    for _ in range(STEPS):
        k = np.exp((low + high) / 2)
        expressed = np.maximum(-np.expm1(-k * rate), np.finfo(float).tiny)
        short = expressed * np.log2(1 + k * share / expressed * linear) < target
        low, high = np.where(short, np.log(k), low), np.where(short, high, np.log(k))
    return np.where(share < 1, -np.expm1(-np.exp((low + high) / 2) * rate), 1.0)


def _choose(candidates: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mark `n` of each column's candidates [cell, gene] by systematic sampling, from a random order of the cells."""
    order = rng.permutation(len(candidates))
    place = np.cumsum(candidates[order], axis=0)
    step, start = n / np.maximum(place[-1], 1), rng.random(len(n))
    passed = np.floor(place * step + start)  # how many are chosen up to a cell; `start` is below 1
    chosen = np.zeros_like(candidates)
    chosen[order] = np.diff(passed, axis=0, prepend=0.0) > 0
    return chosen


def _scaled(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Multiply the linear values of each gene so that the mean of log2(value + 1) is `target`, by Newton's method."""
    row, gene = np.nonzero(x)
    linear, wanted = np.exp2(x[row, gene]) - 1, target * len(x) * np.log(2)
    factor, active = np.zeros(len(target)), np.arange(len(linear))  # logarithm of the factor; entries not yet solved
    for _ in range(STEPS):
        own, values = gene[active], np.exp(factor[gene[active]]) * linear[active]
        missing = wanted - np.bincount(own, np.log1p(values), len(target))
        slope = np.bincount(own, values / (1 + values), len(target))
        open_ = (np.abs(missing) > TOLERANCE * len(x)) & (slope > 0)
        factor[open_] = np.clip(factor[open_] + missing[open_] / slope[open_], -REACH, REACH)
        active = active[open_[own]]
        if not len(active):
            break
    scaled = np.zeros_like(x)
    scaled[row, gene] = np.log2(1 + np.exp(factor[gene]) * linear)
    return scaled
