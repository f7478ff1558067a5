"""Rows of a sparse matrix on disk: only what is asked for is read, in as few reads as can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.errors import DataError

GAP = 1 << 14
"""Values up to which what lies between two wanted rows is read with them and dropped: one read is cheaper than two."""


class FlatArray:
    """A one-dimensional array that lies in one piece in a file.

    Parameters
    ----------
    path
        The file; it is open only while it is read.
    dtype
        Type of the numbers, little-endian.
    start
        Byte at which the array begins.
    """

    def __init__(self, path: Path, dtype: type[np.generic], start: int = 0) -> None:
        self.path, self.dtype, self.start = path, np.dtype(dtype).newbyteorder("<"), start

    def read_into(self, out: np.ndarray, first: int) -> None:
        """Fill an array with the numbers from `first` on; raises `DataError` where the file ends too early."""
        if not out.size:
            return
        view, done = out.data.cast("B"), 0
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start + first * self.dtype.itemsize)
            while done < len(view):
                count = file.readinto(view[done:])
                if not count:
                    raise DataError(
                        f"{self.path} ends too early: it is damaged. Delete its folder and prepare it again."
                    )
                done += count


class DiskRows:
    """A CSR matrix whose values and indices stay on disk.

    Parameters
    ----------
    data, indices
        Values (float32) and column indices (int32).
    ends
        CSR `indptr` (int64), in memory.
    n_columns
        Width of the matrix.
    """

    def __init__(self, data: FlatArray, indices: FlatArray, ends: np.ndarray, n_columns: int) -> None:
        self._parts, self.ends, self.n_columns = (data, indices), ends, n_columns

    def read(self, rows: np.ndarray) -> sp.csr_matrix:
        """Read rows in the order asked for; a row may be asked for more than once."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            return sp.csr_matrix((0, self.n_columns), dtype=np.float32)
        wanted = np.unique(rows)
        breaks = np.flatnonzero(self.ends[wanted[1:]] - self.ends[wanted[:-1] + 1] > GAP) + 1
        firsts, lasts = wanted[np.r_[0, breaks]], wanted[np.r_[breaks, len(wanted)] - 1] + 1
        found = np.concatenate([np.arange(first, last) for first, last in zip(firsts, lasts, strict=True)])
        x = self._ranges(firsts, lasts)
        return x if np.array_equal(found, rows) else x[np.searchsorted(found, rows)]

    def read_range(self, first: int, last: int) -> sp.csr_matrix:
        """Read the rows from `first` to before `last`."""
        return self._ranges(np.array([first]), np.array([last]))

    def _ranges(self, firsts: np.ndarray, lasts: np.ndarray) -> sp.csr_matrix:
        """Read ranges of rows, one below the other."""
        lengths = [np.diff(self.ends[first : last + 1]) for first, last in zip(firsts, lasts, strict=True)]
        ends = np.concatenate([[0], *lengths]).cumsum()
        arrays = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.int32)
        done = 0
        for first, last in zip(firsts, lasts, strict=True):
            start, count = int(self.ends[first]), int(self.ends[last] - self.ends[first])
            for part, out in zip(self._parts, arrays, strict=True):
                part.read_into(out[done : done + count], start)
            done += count
        return sp.csr_matrix((*arrays, ends), shape=(len(ends) - 1, self.n_columns))
