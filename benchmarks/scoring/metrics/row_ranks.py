"""Ranks of every row of an array, several times faster than scipy.stats.rankdata and a block at a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numba import njit

Array = np.ndarray
BLOCK = 1 << 20
"""Values that are ranked at a time."""


def mid_ranks(x: Float[Array, "condition gene"]) -> Float[Array, "condition gene"]:
    """Rank the genes of each condition from 1 up; equal values share the mean of their ranks."""
    x = np.asarray(x, dtype=np.float64)
    ranks = np.empty_like(x)
    step = max(1, BLOCK // max(1, x.shape[1]))
    for first in range(0, len(x), step):
        rows = np.ascontiguousarray(x[first : first + step])
        _place(rows, np.argsort(rows, axis=1), ranks[first : first + step])
    return ranks


@njit(nogil=True, cache=True)
def _place(x, order, ranks):  # type: ignore[no-untyped-def]
    """Write the rank of every value, given each row's ascending order."""
    n = x.shape[1]
    for row in range(x.shape[0]):
        at = 0
        while at < n:
            end, value = at + 1, x[row, order[row, at]]
            while end < n and x[row, order[row, end]] == value:
                end += 1
            for i in range(at, end):
                ranks[row, order[row, i]] = 0.5 * (at + 1 + end)
            at = end
