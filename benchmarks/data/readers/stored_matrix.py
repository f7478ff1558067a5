"""The matrix of an h5ad on disk or an AnnData in memory: dense, CSR or CSC, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp

from benchmarks.data.readers.hdf5_probe import check_structure
from benchmarks.errors import BenchmarkError, DataError

PACKED = {b"\x1f\x8b": "gunzip", b"PK": "unzip"}
"""First bytes of packed files, and what unpacks them."""
COLUMNS_PER_READ = 1 << 21
"""Entries of a CSC matrix read at a time."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an h5ad; what HDF5 or AnnData cannot read in it is a `DataError` that names the file and says what to do."""
    if path.is_dir():
        raise DataError(
            f"{path} is a folder; expected an h5ad file. A zarr store becomes one with "
            "anndata.read_zarr(FOLDER).write_h5ad(FILE)."
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected an h5ad file.")
    if died := check_structure(path):
        raise DataError(f"{path} cannot be read as h5ad ({died}). It is damaged: get it again.")
    try:
        with path.open("rb") as start:
            packed = PACKED.get(start.read(2))
        if packed:
            raise DataError(f"{path} is packed; expected an h5ad file. Unpack it first, with {packed}.")
        handle = h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened as h5ad ({error}). It is truncated or no HDF5 file; get it again."
        ) from error
    with handle:
        try:
            yield handle
        except BenchmarkError:
            raise
        except Exception as error:  # HDF5 and AnnData raise what they like, some of it classes of their own
            raise DataError(
                f"{path} cannot be read as h5ad ({type(error).__name__}: {error}). It is damaged, or written with a "
                "compression filter that is not installed here: write it again with gzip, or get it again."
            ) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix [cell, gene]; rows are read as float32 CSR, in which entries of one cell and gene are summed."""

    element: Any
    """Group or data set of an open h5ad; or a NumPy array or a SciPy matrix in CSR or CSC, which is not changed."""
    source: str
    """The file, for messages."""

    @property
    def layout(self) -> str:
        """ "dense", "csr" or "csc"."""
        if isinstance(self.element, h5py.Dataset | np.ndarray):
            return "dense"
        if sp.issparse(self.element):
            written = self.element.format
        else:
            attributes = self.element.attrs
            written = _text(attributes.get("h5sparse_format", attributes.get("encoding-type", "")))
            written = written.removesuffix("_matrix")
        if written not in ("csr", "csc"):
            raise DataError(f"{self.source}: the matrix is stored as '{written}'; expected dense, csr or csc.")
        return written

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        shape = getattr(self.element, "shape", None)  # a group has none
        if self.layout != "dense" and shape is None:
            attributes = self.element.attrs
            shape = attributes.get("h5sparse_shape", attributes.get("shape"))
        if shape is None or len(shape) != 2 or min(shape) < 0:
            raise DataError(f"{self.source}: the matrix has shape {shape}; expected cells × genes.")
        return int(shape[0]), int(shape[1])

    @property
    def in_memory(self) -> bool:
        """Whether it is no file's."""
        return isinstance(self.element, np.ndarray) or sp.issparse(self.element)

    @property
    def values(self) -> Any:
        """Values as stored: [cell, gene] of a dense matrix, else those of the entries."""
        return self.element if self.layout == "dense" else self._part("data")

    @property
    def nbytes(self) -> int:
        """Size of the values and indices, as stored."""
        parts = [self.values] if self.layout == "dense" else [self.values, self._part("indices")]
        return sum(part.size * part.dtype.itemsize for part in parts)

    def _part(self, name: str) -> Any:
        """Return `data`, `indices` or `indptr` of a sparse matrix."""
        return getattr(self.element, name) if self.in_memory else self.element[name]

    @cached_property
    def ends(self) -> np.ndarray:
        """`indptr` of a sparse matrix; raises `DataError` where it does not fit the entries."""
        ends = self._part("indptr")[:]
        n_major = self.shape[0] if self.layout == "csr" else self.shape[1]
        entries = {name: self._part(name).shape for name in ("data", "indices")}
        whole = (
            ends.dtype.kind in "iu" and len(ends) == n_major + 1 and ends[0] == 0 and bool((np.diff(ends) >= 0).all())
        )
        if not whole or set(entries.values()) != {(int(ends[-1]),)}:
            raise DataError(
                f"{self.source}: the sparse matrix is damaged: {len(ends)} row ends for {n_major} rows, the last at "
                f"{ends[-1] if len(ends) else 'none'}, and {entries['data']} values with {entries['indices']} columns."
            )
        return ends.astype(np.int64)

    def entries(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Read values (float32) and checked minor indices of some entries."""
        data, indices = self._part("data")[low:high], self._part("indices")[low:high]
        if data.dtype.kind not in "fiub":
            raise DataError(f"{self.source}: the values are of type {data.dtype}; expected numbers.")
        n_minor = self.shape[1] if self.layout == "csr" else self.shape[0]
        if len(indices) and (indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= n_minor):
            raise DataError(
                f"{self.source}: the sparse matrix is damaged: it has indices {indices.min()} to {indices.max()}, "
                f"expected 0 to {n_minor - 1}."
            )
        return data.astype(np.float32), indices.astype(np.int32)

    def rows(self, low: int, high: int) -> sp.csr_matrix:
        """Read consecutive rows of a dense or CSR matrix."""
        if self.layout == "dense":
            if self.element.dtype.kind not in "fiub":
                raise DataError(f"{self.source}: the values are of type {self.element.dtype}; expected numbers.")
            return _sparse(self.element[low:high].astype(np.float32, copy=False))
        ends = self.ends[low : high + 1]
        data, indices = self.entries(int(ends[0]), int(ends[-1]))
        return _canonical(sp.csr_matrix((data, indices, ends - ends[0]), shape=(len(ends) - 1, self.shape[1])))

    def columns(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Read a CSC matrix by pieces: (cell, gene, value) of each entry."""
        for low in range(0, int(self.ends[-1]), COLUMNS_PER_READ):
            high = min(low + COLUMNS_PER_READ, int(self.ends[-1]))
            data, cells = self.entries(low, high)
            yield cells, np.searchsorted(self.ends, np.arange(low, high), side="right") - 1, data

    def load(self) -> sp.csr_matrix | np.ndarray:
        """Read the whole matrix: CSR, or dense where it is stored so; not to be changed, since it may be the one in memory."""
        if self.layout == "dense":
            self.rows(0, 0)
            return np.asarray(self.element[:]).astype(np.float32, copy=False)
        if self.layout == "csr":
            ready = self.in_memory and self.element.dtype == np.float32 and self.element.has_canonical_format
            return sp.csr_matrix(self.element) if ready else self.rows(0, self.shape[0])
        data, cells = self.entries(0, int(self.ends[-1]))
        return _canonical(sp.csc_matrix((data, cells, self.ends), shape=self.shape).tocsr())

    def __getitem__(self, positions: np.ndarray) -> sp.csr_matrix:
        """Read rows at increasing positions, run by run; of a CSC matrix every entry is read."""
        if self.layout == "csc":
            place = np.full(self.shape[0], -1)
            place[positions] = np.arange(len(positions))
            found = [np.stack([place[c], g, v])[:, place[c] >= 0] for c, g, v in self.columns()]
            cells, genes, values = np.concatenate([np.empty((3, 0)), *found], axis=1)
            where = cells.astype(np.int64), genes.astype(np.int64)
            return _canonical(sp.csr_matrix((values.astype(np.float32), where), (len(positions), self.shape[1])))
        breaks = np.flatnonzero(np.diff(positions) != 1) + 1
        runs = [run for run in np.split(np.asarray(positions), breaks) if len(run)]
        if not runs:
            return sp.csr_matrix((0, self.shape[1]), dtype=np.float32)
        return sp.vstack([self.rows(int(run[0]), int(run[-1]) + 1) for run in runs], format="csr")


def _sparse(values: np.ndarray) -> sp.csr_matrix:
    """Turn a dense block into CSR; SciPy goes through coordinates, which takes several times as long and as much memory."""
    from benchmarks.data.readers.compiled import store_rows

    ends = np.append(0, np.count_nonzero(values, axis=1).cumsum())
    data, indices = np.empty(ends[-1] + 1, np.float32), np.empty(ends[-1] + 1, np.int32)
    store_rows(values, data, indices)
    return sp.csr_matrix((data[:-1], indices[:-1], ends), shape=values.shape)


def _canonical(x: sp.csr_matrix) -> sp.csr_matrix:
    x.sum_duplicates()
    return x
