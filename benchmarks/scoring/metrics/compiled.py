"""Loops over cells and genes, compiled by numba on first use; imported where they are called, because numba loads slowly."""

from __future__ import annotations

import numpy as np
from numba import njit

LARGEST_LOG = 1000.0
"""Larger log2 values count as this one, so that no mean overflows."""
STRETCH = 16
"""Sorted values that are compared with another at once."""
ALIKE = 32
"""Times as many values as the smaller side that the larger one has at most where stretches are quicker than a search."""
ROWS, GENES = 64, 512
"""Tile in which L1 distances are summed: 256 KiB of float64."""


@njit(nogil=True, cache=True)
def place_ranks(x, order, ranks):  # type: ignore[no-untyped-def]
    """Write the rank of every value, ties by mid-rank, given each row's ascending order."""
    for row in range(len(x)):
        at = 0
        while at < x.shape[1]:
            end, value = at + 1, x[row, order[row, at]]
            while end < x.shape[1] and x[row, order[row, end]] == value:
                end += 1
            for i in range(at, end):
                ranks[row, order[row, i]] = 0.5 * (at + 1 + end)
            at = end


@njit(nogil=True, cache=True)
def describe(values, starts, n_cells):  # type: ignore[no-untyped-def]
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
def count_wins(small, large):  # type: ignore[no-untyped-def]
    """Mann–Whitney's U of the small side, and Σ (t³ − t) over the tied groups of both sides together."""
    values, starts, _, _, n_cells = small
    other, other_starts, other_negatives, large_ties, other_n = large
    n_genes = len(starts) - 1
    u, ties = np.zeros(n_genes), large_ties.copy()
    for gene in range(n_genes):
        at, last = starts[gene], starts[gene + 1]
        low, end = other_starts[gene], other_starts[gene + 1]
        other_first = low
        zeros, other_zeros = float(n_cells - (last - at)), float(other_n - (end - low))
        alike = end - low < ALIKE * (last - at)
        both = zeros + other_zeros
        tie = (both**3 - both) - (other_zeros**3 - other_zeros)
        wins = zeros * (other_negatives[gene] + 0.5 * other_zeros)
        while at < last:
            value, run = values[at], 0.0
            while at < last and values[at] == value:
                run += 1.0
                at += 1
            low = _scan(other, low, end, value) if alike else _advance(other, low, end, value)
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
def place(pool, reference):  # type: ignore[no-untyped-def]
    """Place every value of sorted cells in the reference: (values below it, ties half, and values equal to it)."""
    values, starts, _, _, _ = pool
    other, other_starts, _, _, other_n = reference
    wins, equal = np.empty(len(values), np.float32), np.empty(len(values), np.int32)
    for gene in range(len(starts) - 1):
        at, last = starts[gene], starts[gene + 1]
        low, end = other_starts[gene], other_starts[gene + 1]
        first, zeros = low, float(other_n - (end - low))
        while at < last:
            run, value = at, values[at]
            while at < last and values[at] == value:
                at += 1
            low = _advance(other, low, end, value)
            below, same = float(low - first) + (zeros if value > 0 else 0.0), 0
            while low < end and other[low] == value:
                same += 1
                low += 1
            wins[run:at] = below + 0.5 * same
            equal[run:at] = same
    return wins, equal


@njit(nogil=True, cache=True)
def pick(values, rows, starts, member):  # type: ignore[no-untyped-def]
    """Take the values of the rows that are members: (values, starts)."""
    picked, picked_starts, n = np.empty(len(values), values.dtype), np.zeros(len(starts), np.int64), 0
    for gene in range(len(starts) - 1):
        for at in range(starts[gene], starts[gene + 1]):
            picked[n] = values[at]
            n += member[rows[at]]
        picked_starts[gene + 1] = n
    return picked[:n].copy(), picked_starts


@njit(nogil=True, cache=True)
def count_wins_of(member, n_cells, pool, rows, wins, equal, reference):  # type: ignore[no-untyped-def]
    """Give what `count_wins` gives of the member rows of a pool that has been placed in the reference."""
    values, starts, _, _, _ = pool
    _, other_starts, other_negatives, other_ties, other_n = reference
    n_genes = len(starts) - 1
    u, ties = np.zeros(n_genes), other_ties.copy()
    for gene in range(n_genes):
        at, last, tie, found, own = starts[gene], starts[gene + 1], 0.0, 0.0, 0.0
        while at < last:
            value, same, run = values[at], float(equal[at]), 0.0
            score = float(wins[at])
            while at < last and values[at] == value:
                run += member[rows[at]]
                at += 1
            both = run + same
            tie += (both**3 - both) - (same**3 - same)
            found += run * score
            own += run
        zeros, other_zeros = float(n_cells) - own, float(other_n - (other_starts[gene + 1] - other_starts[gene]))
        both = zeros + other_zeros
        tie += (both**3 - both) - (other_zeros**3 - other_zeros)
        u[gene] = found + zeros * (other_negatives[gene] + 0.5 * other_zeros)
        ties[gene] += tie
    return u, ties


@njit(nogil=True, cache=True)
def _scan(values, low, high, value):  # type: ignore[no-untyped-def]
    """First position from `low` on with a value not below the given one: by stretches, which the compiler compares at once."""
    while low + STRETCH <= high:
        below = 0
        for i in range(STRETCH):
            below += values[low + i] < value
        low += below
        if below < STRETCH:
            return low
    while low < high and values[low] < value:
        low += 1
    return low


@njit(nogil=True, cache=True)
def _advance(values, low, high, value):  # type: ignore[no-untyped-def]
    """First position from `low` on with a value not below the given one: by strides that double, then by halving."""
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


@njit(nogil=True, cache=True)
def linear_sums(cells):  # type: ignore[no-untyped-def]
    """Σ (2^x − 1) over each gene's positive values."""
    values, starts, negatives, _, _ = cells
    sums = np.zeros(len(negatives))
    for gene in range(len(negatives)):
        for at in range(starts[gene] + negatives[gene], starts[gene + 1]):
            sums[gene] += 2.0 ** min(float(values[at]), LARGEST_LOG) - 1.0
    return sums


@njit(nogil=True, cache=True)
def sum_gaps(one, other):  # type: ignore[no-untyped-def]
    """Σ |x_(i) − y_(i)| of every gene, over the cells of two equally large sides in ascending order."""
    values, starts, negatives, _, n = one
    values2, starts2, negatives2, _, _ = other
    sums = np.zeros(len(negatives))
    for gene in range(len(negatives)):
        a, a_low, a_high = starts[gene], negatives[gene], negatives[gene] + n - (starts[gene + 1] - starts[gene])
        b, b_low, b_high = starts2[gene], negatives2[gene], negatives2[gene] + n - (starts2[gene + 1] - starts2[gene])
        low, high = max(a_low, b_low), min(a_high, b_high)  # where both are 0
        i = 0
        while i < n:
            if low <= i < high:
                i = high
                continue
            x = 0.0 if a_low <= i < a_high else float(values[a + i - (a_high - a_low if i >= a_high else 0)])
            y = 0.0 if b_low <= i < b_high else float(values2[b + i - (b_high - b_low if i >= b_high else 0)])
            sums[gene] += abs(x - y)
            i += 1
    return sums


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def add_city_block(x, y, distance):  # type: ignore[no-untyped-def]
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
