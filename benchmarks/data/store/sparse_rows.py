"""Rows of a sparse matrix on disk: only what is asked for is read, in as few reads as can be, and checked block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from xxhash import xxh3_64_intdigest

from benchmarks.errors import DataError

GAP = 1 << 14
"""Values up to which what lies between two wanted rows is read with them and dropped: one read is cheaper than two."""


CHECKED = 1 << 14
"""Values of a block of rows, about: its values and its column indices have a checksum each."""


def block_starts(ends: np.ndarray) -> np.ndarray:
    """Cut rows, whose values end at `ends` (CSR `indptr`), into blocks: the first row of each, and the number of rows."""
    changes = np.flatnonzero(np.diff(ends[:-1] // CHECKED)) + 1
    return np.concatenate([[0], changes, [len(ends) - 1]])


def checksums(x: sp.csr_matrix, starts: np.ndarray) -> np.ndarray:
    """Compute the checksums of blocks of rows [block, values or indices]; `starts` as of `block_starts`."""
    cuts = x.indptr[starts].tolist()
    parts = x.data, x.indices.astype("<i4", copy=False)
    found = [[xxh3_64_intdigest(part[low:high].data) for part in parts] for low, high in pairwise(cuts)]
    return np.array(found, dtype=np.uint64).reshape(-1, 2)


def spans(ends: np.ndarray, n_bytes: int) -> Iterator[tuple[int, int]]:
    """Cut rows of a CSR matrix into ranges of about `n_bytes` of values and indices; at least one row each."""
    first, n_rows = 0, len(ends) - 1
    while first < n_rows:
        last = int(np.searchsorted(ends, ends[first] + n_bytes // 8, side="right")) - 1
        last = min(n_rows, max(first + 1, last))
        yield first, last
        first = last


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
    """A CSR matrix whose values and column indices stay on disk; `ends` (its `indptr`) is in memory.

    They are read as float32 and int32, whatever numbers they are written as.

    With `sums`, the checksums of the blocks of `block_starts`, whole blocks are read and checked: reading raises `DataError`
    where what is on the disk is not what was written.
    """

    def __init__(
        self, data: FlatArray, indices: FlatArray, ends: np.ndarray, n_columns: int, sums: np.ndarray | None = None
    ) -> None:
        self._parts, self.ends, self.n_columns, self._sums = (data, indices), ends, n_columns, sums
        self.starts = np.arange(len(ends)) if sums is None else block_starts(ends)
        """First row of each block, and the number of rows; without checksums every row is a block."""

    def read(self, rows: np.ndarray) -> sp.csr_matrix:
        """Read rows in the order asked for; a row may be asked for more than once."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            return sp.csr_matrix((0, self.n_columns), dtype=np.float32)
        wanted = np.unique(self.starts.searchsorted(rows, side="right") - 1)
        gaps = self.ends[self.starts[wanted[1:]]] - self.ends[self.starts[wanted[:-1] + 1]]
        breaks = np.flatnonzero(gaps > GAP) + 1
        firsts, lasts = wanted[np.r_[0, breaks]], wanted[np.r_[breaks, len(wanted)] - 1] + 1
        pairs = zip(self.starts[firsts], self.starts[lasts], strict=True)
        found = np.concatenate([np.arange(first, last) for first, last in pairs])
        x = self._blocks(firsts, lasts)
        return x if np.array_equal(found, rows) else x[np.searchsorted(found, rows)]

    def read_range(self, first: int, last: int) -> sp.csr_matrix:
        """Read the rows from `first` to before `last`."""
        block, after = self.starts.searchsorted(first, side="right") - 1, self.starts.searchsorted(last)
        x = self._blocks(np.array([block]), np.array([after]))
        low, high = first - self.starts[block], last - self.starts[block]
        return x if high - low == x.shape[0] else x[low:high]

    def ranges(self, n_bytes: int) -> Iterator[tuple[int, int]]:
        """Cut all rows into ranges of whole blocks, of about `n_bytes` of values and indices each."""
        for first, last in spans(self.ends[self.starts], n_bytes):
            yield int(self.starts[first]), int(self.starts[last])

    def _blocks(self, firsts: np.ndarray, lasts: np.ndarray) -> sp.csr_matrix:
        """Read ranges of blocks, one below the other, and check them."""
        pairs = [(self.starts[first], self.starts[last]) for first, last in zip(firsts, lasts, strict=True)]
        lengths = [np.diff(self.ends[first : last + 1]) for first, last in pairs]
        low, high = self.ends[self.starts[firsts]], self.ends[self.starts[lasts]]
        data, indices = (part.read(low, high - low) for part in self._parts)
        ends = np.concatenate([[0], *lengths]).cumsum()
        data, indices = data.astype("<f4", copy=False), indices.astype("<i4", copy=False)
        x = sp.csr_matrix((data, indices, ends), shape=(len(ends) - 1, self.n_columns))
        if self._sums is not None:
            sizes = [np.diff(self.starts[first : last + 1]) for first, last in zip(firsts, lasts, strict=True)]
            found = checksums(x, np.concatenate([[0], *sizes]).cumsum())
            known = np.concatenate([self._sums[first:last] for first, last in zip(firsts, lasts, strict=True)])
            if not np.array_equal(found, known):
                raise DataError(
                    f"{self._parts[0].path} is damaged: some of its values are not those that were written. Delete its folder "
                    "and prepare it again."
                )
        return x
