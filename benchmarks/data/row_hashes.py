"""A hash of the values of each cell, by which equal cells are found among many."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.data.cell_table import CellTable, blocks

FACTORS = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xBF58476D1CE4E5B9


def row_hashes(x: Any, least: int = 0) -> np.ndarray:
    """Hash the rows of x [cell, gene], sparse or dense, whatever the order of their entries; zeros play no part.

    Returns uint64 [cell]: equal cells have equal hashes, others the same one by chance once in 2⁶⁴; 0 for a cell with fewer
    than `least` values that are not 0.
    """
    x = sp.csr_matrix(x, dtype=np.float32, copy=True)
    x.sum_duplicates()
    x.eliminate_zeros()
    mixed = (x.indices.astype(np.uint64) + np.uint64(1)) * np.uint64(FACTORS[0])
    mixed ^= x.data.view(np.uint32).astype(np.uint64) * np.uint64(FACTORS[1])
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(FACTORS[2])
    mixed ^= mixed >> np.uint64(32)
    ends = np.append(np.uint64(0), np.cumsum(mixed, dtype=np.uint64))
    found = ends[x.indptr[1:]] - ends[x.indptr[:-1]]
    found[np.diff(x.indptr) < least] = 0
    return found


def table_hashes(cells: CellTable, positions: np.ndarray | None = None, least: int = 0) -> np.ndarray:
    """Hash some cells of a table, or all, as `row_hashes` does, reading some at a time."""
    positions = np.arange(len(cells.obs)) if positions is None else positions
    found = np.zeros(len(positions), np.uint64)
    for where, x in blocks(cells, positions):
        found[np.searchsorted(positions, where)] = row_hashes(x, least)
    return found
