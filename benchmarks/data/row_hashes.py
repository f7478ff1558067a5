"""A hash of the values of each cell, by which equal cells are found among many."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.data.cell_table import CellTable, blocks


def row_hashes(x: Any, least: int = 0) -> np.ndarray:
    """Hash the rows of x [cell, gene], sparse or dense, whatever the order of their entries; zeros play no part.

    Returns uint64 [cell]: equal cells have equal hashes, others the same one by chance once in 2⁶⁴; 0 for a cell with fewer
    than `least` values that are not 0.
    """
    from benchmarks.data.compiled_hashes import hash_columns, hash_dense, hash_sparse

    found = np.zeros(x.shape[0], np.uint64)
    if not sp.issparse(x):
        values = np.ascontiguousarray(x, dtype=np.float32)
        hash_dense(values, values.view(np.uint32), least, found)
        return found
    x = (x if x.format == "csc" else sp.csr_matrix(x)).astype(np.float32, copy=False)
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    entries = x.data, x.data.view(np.uint32), x.indices, x.indptr, least, found
    if x.format == "csc":
        hash_columns(*entries, np.zeros(len(found), np.int64))
    else:
        hash_sparse(*entries)
    return found


def table_hashes(cells: CellTable, positions: np.ndarray | None = None, least: int = 0) -> np.ndarray:
    """Hash some cells of a table, or all, as `row_hashes` does, reading some at a time."""
    positions = np.arange(len(cells.obs)) if positions is None else positions
    found = np.zeros(len(positions), np.uint64)
    for where, x in blocks(cells, positions):
        found[np.searchsorted(positions, where)] = row_hashes(x, least)
    return found
