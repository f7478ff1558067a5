"""Training cells that are read some at a time, from an AnnData or from wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from jaxtyping import Int

from cycseq.errors import DataError

CELLS_AT_ONCE = 2048
"""Cells whose values are in memory at a time, where they are not all there already."""
Rows = Int[np.ndarray, " cell"]


@runtime_checkable
class CellReader(Protocol):
    """Cells whose labels are in memory and whose values need not be."""

    @property
    def obs(self) -> pd.DataFrame:
        """Labels of all cells, with the columns that an AnnData has to have."""

    @property
    def genes(self) -> Sequence[str]:
        """Names of the genes, in the order of the columns."""

    def take(self, rows: Rows) -> sp.csr_matrix:
        """Read the values of some cells [cell, gene], in the order asked for."""


@dataclass(frozen=True)
class AnnDataReader:
    """The cells of an AnnData, which are in memory."""

    adata: AnnData

    @property
    def obs(self) -> pd.DataFrame:
        """Labels of all cells."""
        return self.adata.obs

    @property
    def genes(self) -> list[str]:
        """Names of the genes."""
        return list(map(str, self.adata.var_names))

    def take(self, rows: Rows) -> sp.csr_matrix:
        """Copy the values of some cells."""
        return self._x[rows]

    @cached_property
    def _x(self) -> sp.csr_matrix:
        return sp.csr_matrix(self.adata.to_memory().X if self.adata.isbacked else self.adata.X, dtype=np.float32)


@dataclass(frozen=True)
class CellSubset:
    """Some of the cells of a reader, at ascending `rows`."""

    cells: CellReader
    rows: Rows

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Labels of these cells."""
        return self.cells.obs.iloc[self.rows]

    @property
    def genes(self) -> Sequence[str]:
        """Names of the genes."""
        return self.cells.genes

    def take(self, rows: Rows) -> sp.csr_matrix:
        """Read the values of some cells."""
        return self.cells.take(self.rows[rows])


@dataclass(frozen=True)
class Values:
    """Expression [cell, gene], float32; `values[rows]` reads some cells."""

    cells: CellReader

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return len(self.cells.obs), len(self.cells.genes)

    def __getitem__(self, rows: Rows) -> sp.csr_matrix:
        """Read some cells, in the order asked for."""
        return sp.csr_matrix(self.cells.take(rows), dtype=np.float32)

    def blocks(self) -> Iterator[sp.csr_matrix]:
        """Read all cells, some at a time."""
        for first in range(0, self.shape[0], CELLS_AT_ONCE):
            yield self[np.arange(first, min(first + CELLS_AT_ONCE, self.shape[0]))]

    @cached_property
    def digest(self) -> str:
        """Hash of all values and their order."""
        found = sha256(repr(self.shape).encode())
        for x in self.blocks():
            for array in (np.diff(x.indptr).astype(np.int64), x.indices.astype(np.int64), x.data):
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()


def reader_of(given: object) -> CellReader:
    """Make cells readable; raises `DataError` for what is neither an AnnData with X nor a `CellReader`, or a column twice."""
    cells = given if isinstance(given, CellReader) else AnnDataReader(check_adata(given))
    check_columns(cells.obs)
    return cells


def check_adata(given: object) -> AnnData:
    """Return the cells; raises `DataError` for what is no AnnData, has no X, or has a column of obs twice."""
    if not isinstance(given, AnnData):
        raise DataError(
            f"The cells are given as {type(given).__name__}; expected an AnnData, or for training an object with obs, genes "
            "and take(rows)."
        )
    if given.X is None:
        raise DataError("The cells have no X; expected log2 expression. If a layer has it: adata.X = adata.layers[…].")
    check_columns(given.obs)
    return given


def check_columns(obs: pd.DataFrame) -> None:
    """Raise `DataError` for a column that is there twice."""
    twice = sorted(set(obs.columns[obs.columns.duplicated()]))
    if twice:
        raise DataError(f"obs has the column(s) {', '.join(map(str, twice))} twice; expected one of each.")
