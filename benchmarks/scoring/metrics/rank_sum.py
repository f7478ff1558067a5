"""Wilcoxon's rank-sum test of every gene, from cells that are sorted once and compared many times.

A set of cells is sorted gene by gene, non-zero values only. Two sorted sets are then compared without sorting again: each
distinct value of the smaller one is looked up in the larger, from where the last one was found on, by strides that double.
That is a merge where the sides are alike in size, and a search where one is far larger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from numba import njit
from scipy.special import ndtr

Array = np.ndarray
Cells: TypeAlias = Any
"""Cells [cell, gene]: a dense array, or SciPy's CSR or CSC, matrix or array."""
BLOCK = 1 << 20
"""Values that are sorted at a time."""


@dataclass(frozen=True)
class SortedCells:
    """A set of cells with every gene's non-zero values in ascending order; made by `sort_cells`.

    Zeros are not stored: they stand between the negative and the positive values of their gene.
    """

    values: Float[Array, "value"]
    """Non-zero values of gene 0, then of gene 1, and so on: float32 or float64, as they came."""
    starts: Int[Array, "gene_plus_one"]
    """Position in `values` of each gene's first value; the last entry is their number."""
    negatives: Int[Array, "gene"]
    """Number of negative values of each gene."""
    ties: Float[Array, "gene"]
    """Σ (t³ − t) over each gene's groups of t equal values, zeros included."""
    n_cells: int

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.starts) - 1


def sort_cells(matrix: Cells) -> SortedCells:
    """Sort every gene's non-zero values; sparse input is never made dense by more than a block, and no input is changed.

    Parameters
    ----------
    matrix
        Cells [cell, gene], sparse (CSR or CSC, matrix or array) or dense. Types other than float32 become float64.

    Raises
    ------
    ValueError
        Not two-dimensional, no cell, or a value that is NaN or infinite.
    """
    if matrix.ndim != 2 or matrix.shape[0] == 0:
        raise ValueError(f"sort_cells got shape {matrix.shape}; expected [cell, gene] with at least one cell.")
    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float64, copy=False)
    if sp.issparse(matrix) and matrix.shape[0] * matrix.shape[1] <= BLOCK:
        matrix = matrix.toarray()  # no larger than what is sorted at a time, and quicker
    values, starts = _sort_sparse(matrix) if sp.issparse(matrix) else _sort_dense(np.asarray(matrix))
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"sort_cells got {bad} NaN or infinite values; ranks need finite ones.")
    negatives, ties = _describe(values, starts, matrix.shape[0])
    return SortedCells(values, starts, negatives, ties, matrix.shape[0])


def rank_sum(cells: SortedCells, reference: SortedCells) -> Float[Array, "gene"]:
    """Two-sided p value of Wilcoxon's rank-sum (Mann–Whitney) test of every gene.

    Normal approximation with correction for ties and continuity. A gene that is constant over both sides has p = 1.
    Symmetric in its arguments. Holds no interpreter lock while it counts, so conditions can run in threads.

    Parameters
    ----------
    cells, reference
        The two sides, with the same genes in the same order.

    Raises
    ------
    ValueError
        The sides do not have the same number of genes.

    Source: Mann & Whitney 1947, doi:10.1214/aoms/1177730491.
    """
    check_genes(cells, reference)
    small, large = sorted((cells, reference), key=lambda side: len(side.values))
    kind = np.result_type(small.values, large.values)  # float32 to float64 is exact and keeps the order
    u, ties = _count(
        (small.values.astype(kind, copy=False), small.starts, small.negatives, small.n_cells),
        (large.values.astype(kind, copy=False), large.starts, large.negatives, large.n_cells),
        large.ties,
    )
    n, m = float(small.n_cells), float(large.n_cells)
    total = n + m
    spread = np.sqrt(n * m / 12 * ((total + 1) - ties / (total * (total - 1))))
    shift = np.maximum(u, n * m - u) - n * m / 2 - 0.5
    z = np.divide(shift, spread, out=np.full(len(u), -np.inf), where=spread > 0)
    return np.minimum(2 * ndtr(-z), 1.0)


def check_genes(a: SortedCells, b: SortedCells) -> None:
    """Raise ValueError unless both sets of cells have the same number of genes."""
    if a.n_genes != b.n_genes:
        raise ValueError(f"Two sets of cells have {a.n_genes} and {b.n_genes} genes; expected the same genes in both.")


def _sort_dense(matrix: Float[Array, "cell gene"]) -> tuple[Array, Array]:
    """Sort a dense matrix some genes at a time: (values, starts)."""
    n_cells, n_genes = matrix.shape
    step = max(1, BLOCK // n_cells)
    kept, counts = [], []
    for first in range(0, n_genes, step):
        block = np.array(matrix[:, first : first + step].T, order="C")
        block.sort(axis=1)
        there = block != 0
        kept.append(block[there])
        counts.append(there.sum(axis=1))
    starts = np.concatenate([[0], *counts]).cumsum()
    return np.concatenate(kept) if kept else np.empty(0, matrix.dtype), starts


def _sort_sparse(matrix: Cells) -> tuple[Array, Array]:
    """Sort a sparse matrix gene by gene: (values, starts)."""
    columns = sp.csc_matrix(matrix, copy=True)
    columns.sum_duplicates()
    columns.eliminate_zeros()
    values, starts = columns.data, columns.indptr.astype(np.int64)
    lengths = np.diff(starts)
    for genes in _alike(lengths):
        # one padded row a gene lets a single vectorised sort do many genes
        place = np.arange(lengths[genes].max())
        there = place < lengths[genes][:, None]
        where = (starts[genes][:, None] + place)[there]
        block = np.full(there.shape, np.inf, dtype=values.dtype)
        block[there] = values[where]
        block.sort(axis=1)
        values[where] = block[there]
    return values, starts


def _alike(lengths: Int[Array, "gene"]) -> Iterator[Array]:
    """Group genes with about equally many values, so that padding them to one length wastes little."""
    order = np.argsort(lengths, kind="stable")
    order = order[np.searchsorted(lengths[order], 2) :]  # none or one value is sorted already
    while len(order):
        longest = lengths[order[-1]]
        first = max(np.searchsorted(lengths[order], longest // 2), len(order) - max(1, BLOCK // longest))
        yield order[first:]
        order = order[:first]


@njit(nogil=True, cache=True)
def _describe(values, starts, n_cells):  # type: ignore[no-untyped-def]
    """Count each gene's negative values and its ties: (negatives, ties)."""
    n_genes = len(starts) - 1
    negatives, ties = np.zeros(n_genes, np.int64), np.zeros(n_genes)
    for gene in range(n_genes):
        first, last = starts[gene], starts[gene + 1]
        zeros = float(n_cells - (last - first))
        tie = zeros**3 - zeros
        at = first
        while at < last:
            value, run = values[at], 0.0
            while at < last and values[at] == value:
                run += 1.0
                at += 1
            tie += run**3 - run
            if value < 0:
                negatives[gene] += int(run)
        ties[gene] = tie
    return negatives, ties


@njit(nogil=True, cache=True)
def _count(small, large, large_ties):  # type: ignore[no-untyped-def]
    """Mann–Whitney's U of the small side, and Σ (t³ − t) over the tied groups of both sides together.

    Each side is (values, starts, negatives, n_cells).
    """
    values, starts, _, n_cells = small
    other, other_starts, other_negatives, other_n = large
    n_genes = len(starts) - 1
    u, ties = np.zeros(n_genes), large_ties.copy()
    for gene in range(n_genes):
        at, last = starts[gene], starts[gene + 1]
        low, end = other_starts[gene], other_starts[gene + 1]
        other_first = low
        zeros, other_zeros = float(n_cells - (last - at)), float(other_n - (end - low))
        both = zeros + other_zeros
        tie = (both**3 - both) - (other_zeros**3 - other_zeros)
        wins = zeros * (other_negatives[gene] + 0.5 * other_zeros)
        while at < last:
            value, run = values[at], 0.0
            while at < last and values[at] == value:
                run += 1.0
                at += 1
            low = _advance(other, low, end, value)
            below = float(low - other_first) + (other_zeros if value > 0 else 0.0)
            same = 0.0
            while low < end and other[low] == value:
                same += 1.0
                low += 1
            both = run + same
            tie += (both**3 - both) - (same**3 - same)
            wins += run * (below + 0.5 * same)
        u[gene] = wins
        ties[gene] += tie
    return u, ties


@njit(nogil=True, cache=True)
def _advance(values, low, high, value):  # type: ignore[no-untyped-def]
    """First position from `low` on whose value is not below `value`: by strides that double, then by halving."""
    stride = 1
    while low + stride <= high and values[low + stride - 1] < value:
        low += stride
        stride *= 2
    high = min(high, low + stride - 1)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
