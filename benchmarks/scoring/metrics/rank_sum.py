"""Wilcoxon's rank-sum test of every gene, from cells that are sorted once and compared many times.

A set of cells is sorted gene by gene, non-zero values only. Two sorted sets are then compared without sorting again: each
distinct value of the smaller one is looked up in the larger, from where the last one was found on: stretch by stretch where the
sides are alike in size, and by strides that double where one is far larger.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from benchmarks.scoring.metrics.metric import Array
from benchmarks.scoring.metrics.profile import FLAT

Cells: TypeAlias = Any
"""Cells [cell, gene]: a dense array, or SciPy's CSR or CSC, matrix or array."""
BLOCK = 1 << 20
"""Values that are sorted at a time."""


class SortedCells(NamedTuple):
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


def sort_cells(matrix: Cells) -> SortedCells:
    """Sort every gene's non-zero values; sparse input is never made dense by more than a block, and no input is changed.

    Values of at most 1e-6 in size count as zeros, so that rounding is not ranked: models that add and subtract turn zeros into
    such values. Types other than float32 become float64. There is one cell or more. Raises ValueError for a value that is NaN or infinite.
    """
    from scipy.sparse import issparse

    from benchmarks.scoring.metrics.compiled import describe

    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float64, copy=False)
    if issparse(matrix) and matrix.shape[0] * matrix.shape[1] <= BLOCK:
        matrix = matrix.toarray()  # no larger than what is sorted at a time, and quicker
    values, starts = _sort_sparse(matrix) if issparse(matrix) else _sort_dense(np.asarray(matrix))
    _check_finite(values)
    negatives, ties = describe(values, starts, matrix.shape[0])
    return SortedCells(values, starts, negatives, ties, matrix.shape[0])


def rank_sum(cells: SortedCells, reference: SortedCells) -> Float[Array, "gene"]:
    """Two-sided p value of Wilcoxon's rank-sum (Mann–Whitney) test of every gene.

    Normal approximation with correction for ties and continuity. A gene that is constant over both sides has p = 1.
    Symmetric in its arguments. Holds no interpreter lock while it counts, so conditions can run in threads. Raises ValueError
    where the sides do not have the same number of genes.

    Source: Mann & Whitney 1947, doi:10.1214/aoms/1177730491.
    """
    from benchmarks.scoring.metrics.compiled import count_wins

    check_genes(cells, reference)
    small, large = sorted((cells, reference), key=lambda side: len(side.values))
    kind = np.result_type(small.values, large.values)  # float32 to float64 is exact and keeps the order
    u, ties = count_wins(*(s._replace(values=s.values.astype(kind, copy=False)) for s in (small, large)))
    return _p_values(u, ties, small.n_cells, large.n_cells)


class Pool(NamedTuple):
    """Cells that sets of cells are picked from, many times: sorted once, and placed once in the reference; made by `place_cells`.

    A set is given by its rows, none of them twice.
    """

    ordered: SortedCells
    """All cells."""
    rows: Int[Array, "value"]
    """The row that each sorted value is of."""
    reference: SortedCells
    """What sets are tested against, without its values."""
    wins: Float[Array, "value"]
    """Reference values below each value, those equal to it half."""
    equal: Int[Array, "value"]
    """Reference values equal to each value."""

    def pick(self, rows: Int[Array, "k"]) -> SortedCells:
        """Give what `sort_cells` gives of some rows."""
        from benchmarks.scoring.metrics.compiled import describe, pick

        values, starts = pick(self.ordered.values, self.rows, self.ordered.starts, self._mark(rows))
        negatives, ties = describe(values, starts, len(rows))
        return SortedCells(values, starts, negatives, ties, len(rows))

    def rank_sum(self, rows: Int[Array, "k"]) -> Float[Array, "gene"]:
        """Give what `rank_sum` gives of some rows and the reference."""
        from benchmarks.scoring.metrics.compiled import count_wins_of

        placed = self.ordered, self.rows, self.wins, self.equal, self.reference
        u, ties = count_wins_of(self._mark(rows), len(rows), *placed)
        return _p_values(u, ties, len(rows), self.reference.n_cells)

    def _mark(self, rows: Int[Array, "k"]) -> Bool[Array, "cell"]:
        member = np.zeros(self.ordered.n_cells, dtype=bool)
        member[rows] = True
        return member


class LoosePool(NamedTuple):
    """Cells that sets of cells are picked from, each of which is sorted by itself."""

    cells: Cells

    def pick(self, rows: Int[Array, "k"]) -> SortedCells:
        """Give what `sort_cells` gives of some rows."""
        return sort_cells(self.cells[rows])


def make_pool(matrix: Cells, reference: SortedCells) -> Pool | LoosePool:
    """Make a pool of cells [cell, gene] whose sets are tested against a reference; raises as `sort_cells` and `rank_sum` do.

    Sorting with rows takes several times as long as sorting alone, and pays only where a set is looked up in far more cells.
    """
    if reference.n_cells < 2 * matrix.shape[0]:
        return LoosePool(matrix)
    return place_cells(matrix, reference)


def place_cells(matrix: Cells, reference: SortedCells) -> Pool:
    """Sort cells [cell, gene], and place their values in the reference; raises as `sort_cells` and `rank_sum` do."""
    from benchmarks.scoring.metrics.compiled import describe, place

    columns = _columns(matrix if matrix.dtype == np.float32 else matrix.astype(np.float64))
    _check_finite(columns.data)
    starts = columns.indptr.astype(np.int64)
    values, rows = _sort_with_rows(columns.data, columns.indices, starts)
    negatives, ties = describe(values, starts, matrix.shape[0])
    ordered = SortedCells(values, starts, negatives, ties, matrix.shape[0])
    check_genes(ordered, reference)
    kind = np.result_type(values, reference.values)
    sides = (side._replace(values=side.values.astype(kind, copy=False)) for side in (ordered, reference))
    return Pool(ordered, rows, reference._replace(values=reference.values[:0]), *place(*sides))


def _sort_with_rows(
    values: Float[Array, "value"], rows: Int[Array, "value"], starts: Int[Array, "gene_plus_one"]
) -> tuple[Array, Array]:
    """Sort each gene's values, and the rows that they are of with them."""
    if values.dtype != np.float32 or rows.max(initial=0) >= 1 << 16:
        genes = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        order = np.lexsort((values, genes))
        return values[order], rows[order].astype(np.int32)
    # one whole number of value and row, which NumPy sorts quicker than it finds an order: bits of a float in the order of its values
    bits = values.view(np.uint32)
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    keys = ascending << np.uint64(16) | rows.astype(np.uint64)
    for first, last in pairwise(starts.tolist()):
        keys[first:last].sort()
    ascending = (keys >> np.uint64(16)).astype(np.uint32)
    bits = np.where(ascending >> 31, ascending ^ np.uint32(1 << 31), ~ascending)
    return bits.view(np.float32), (keys & np.uint64(0xFFFF)).astype(np.int32)


def _p_values(u: Array, ties: Array, n: float, m: float) -> Float[Array, "gene"]:
    """Two-sided p values from U of either side, Σ (t³ − t) over the ties of both sides, and both numbers of cells."""
    from scipy.special import ndtr

    n, m = float(n), float(m)
    total = n + m
    spread = np.sqrt(n * m / 12 * ((total + 1) - ties / (total * (total - 1))))
    shift = np.maximum(u, n * m - u) - n * m / 2 - 0.5
    z = np.divide(shift, spread, out=np.full(len(u), -np.inf), where=spread > 0)
    return np.minimum(2 * ndtr(-z), 1.0)


def check_genes(a: SortedCells, b: SortedCells) -> None:
    """Raise ValueError unless both sets of cells have the same number of genes."""
    n, m = len(a.negatives), len(b.negatives)
    if n != m:
        raise ValueError(f"Two sets of cells have {n} and {m} genes; expected the same genes in both.")


def _sort_dense(matrix: Float[Array, "cell gene"]) -> tuple[Array, Array]:
    """Sort a dense matrix some genes at a time: (values, starts)."""
    n_cells, n_genes = matrix.shape
    step = max(1, BLOCK // n_cells)
    kept, counts = [], []
    for first in range(0, n_genes, step):
        block = np.array(matrix[:, first : first + step].T, order="C")
        block.sort(axis=1)
        sizes = block if block[:, 0].min() >= 0 else np.abs(block)  # most spaces have no negative value
        there = ~(sizes <= FLAT)  # NaN stays, and is refused
        kept.append(block[there])
        counts.append(there.sum(axis=1))
    starts = np.concatenate([[0], *counts]).cumsum()
    return np.concatenate(kept) if kept else np.empty(0, matrix.dtype), starts


def _sort_sparse(matrix: Cells) -> tuple[Array, Array]:
    """Sort a sparse matrix gene by gene: (values, starts)."""
    columns = _columns(matrix)
    values, starts = columns.data.copy(), columns.indptr.astype(np.int64)
    for first, last in pairwise(starts.tolist()):
        values[first:last].sort()
    return values, starts


def _columns(matrix: Cells) -> Any:
    """Turn cells into SciPy's CSC without zeros, or values that count as such."""
    import scipy.sparse as sp

    columns = sp.csc_matrix(matrix)
    flat = np.abs(columns.data) <= FLAT
    if flat.any() or not columns.has_canonical_format:
        columns = columns.copy()
        columns.sum_duplicates()
        columns.data[np.abs(columns.data) <= FLAT] = 0
        columns.eliminate_zeros()
    return columns


def _check_finite(values: Array) -> None:
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"Cells with {bad} NaN or infinite values cannot be sorted; ranks need finite ones.")
