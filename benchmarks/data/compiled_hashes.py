"""Loops of `row_hashes`, compiled by numba on first use; imported where they are called, because numba loads slowly."""

from __future__ import annotations

import numpy as np
from numba import njit

FIRST, SECOND, THIRD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xBF58476D1CE4E5B9)


@njit(nogil=True, cache=True)
def mixed(gene, bits):  # type: ignore[no-untyped-def]
    """Hash a gene's number and the bits of its value."""
    h = (np.uint64(gene + 1) * FIRST) ^ (np.uint64(bits) * SECOND)
    h ^= h >> np.uint64(29)
    h *= THIRD
    return h ^ (h >> np.uint64(32))


@njit(nogil=True, cache=True)
def hash_dense(values, bits, least, found):  # type: ignore[no-untyped-def]
    """Sum the hashes of each row's values that are not 0; 0 for a row with fewer than `least`."""
    for row in range(values.shape[0]):
        total, n = np.uint64(0), 0
        for gene in range(values.shape[1]):
            if values[row, gene] != 0:
                total += mixed(gene, bits[row, gene])
                n += 1
        found[row] = total if n >= least else np.uint64(0)


@njit(nogil=True, cache=True)
def hash_sparse(values, bits, indices, ends, least, found):  # type: ignore[no-untyped-def]
    """The same for the rows of a CSR matrix without duplicate entries."""
    for row in range(len(ends) - 1):
        total, n = np.uint64(0), 0
        for entry in range(ends[row], ends[row + 1]):
            if values[entry] != 0:
                total += mixed(indices[entry], bits[entry])
                n += 1
        found[row] = total if n >= least else np.uint64(0)


@njit(nogil=True, cache=True)
def hash_columns(values, bits, cells, ends, least, found, n):  # type: ignore[no-untyped-def]
    """The same for the rows of a CSC matrix without duplicate entries; `found` and `n` hold zeros."""
    for gene in range(len(ends) - 1):
        for entry in range(ends[gene], ends[gene + 1]):
            if values[entry] != 0:
                found[cells[entry]] += mixed(gene, bits[entry])
                n[cells[entry]] += 1
    for row in range(len(found)):
        if n[row] < least:
            found[row] = np.uint64(0)
