"""Rows of a sparse matrix on disk: only what is asked for is read, in as few reads as can be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.errors import DataError

GAP = 1 << 14
"""Values up to which what lies between two wanted rows is read with them and dropped: one read is cheaper than two."""


@dataclass(frozen=True)
class FlatArray:
    """A one-dimensional array that lies in one piece in a file, which is open only while it is read."""

    path: Path
    dtype: str
    start: int = 0
    """Byte at which the array begins."""

    def read(self, firsts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Read runs of `counts` numbers that begin at `firsts`, one behind the other; raises `DataError` if it ends early."""
        found, done = np.empty(counts.sum(), self.dtype), 0
        with self.path.open("rb") as file:
            for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
                wanted = found[done : done + count]
                file.seek(self.start + first * found.itemsize)
                if file.readinto(wanted.data) < wanted.nbytes:
                    raise DataError(
                        f"{self.path} ends too early: it is damaged. Delete its folder and prepare it again."
                    )
                done += count
        return found


class DiskRows:
    """A CSR matrix whose values (float32) and column indices (int32) stay on disk; `ends` (its `indptr`) is in memory."""

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
        data, indices = (part.read(self.ends[firsts], self.ends[lasts] - self.ends[firsts]) for part in self._parts)
        ends = np.concatenate([[0], *lengths]).cumsum()
        return sp.csr_matrix((data, indices, ends), shape=(len(ends) - 1, self.n_columns))
