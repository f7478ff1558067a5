"""What is read of cells as AnnData keeps them: tables of labels, matrices, the base of logarithms; in a file or in memory."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from anndata.io import read_elem

from benchmarks.data.readers.stored_matrix import StoredMatrix, opened
from benchmarks.data.readers.text_tables import check_columns, readable
from benchmarks.errors import DataError


class Elements(ABC):
    """The parts of one h5ad or AnnData, found by the names that they have in a file."""

    source: Path | InMemory

    @abstractmethod
    def table(self, place: str, wanted: Sequence[str]) -> pd.DataFrame:
        """Read some columns of "obs", "var" or "raw/var", and its index; other columns are not touched.

        Raises `DataError` for a column that is missing, that is there twice, or that cannot be read.
        """

    @abstractmethod
    def columns(self, place: str) -> Iterator[tuple[str, pd.Series]]:
        """Read the columns of a table one by one, leaving out what cannot be read."""

    @abstractmethod
    def length(self, place: str) -> int:
        """Count the rows of a table."""

    @abstractmethod
    def matrices(self) -> list[str]:
        """Name all matrices: "X", "raw", and the layers."""

    @abstractmethod
    def stored(self, layer: str) -> StoredMatrix:
        """Return one of `matrices`, whose shape is not checked."""

    @abstractmethod
    def noted_log(self) -> Mapping[str, Any] | None:
        """Return what scanpy's `log1p` noted; None where it was not called."""

    def matrix(self, layer: str) -> StoredMatrix:
        """Find a matrix and check its shape; raises `DataError`."""
        known = self.matrices()
        if layer not in known:
            raise DataError(
                f"{self.source} has no matrix '{layer}'; it has {', '.join(known) or 'none'}. Name one with --layer."
            )
        found = self.stored(layer)
        expected = self.length("obs"), self.length("raw/var" if layer == "raw" else "var")
        if found.shape != expected:
            turned = " It is transposed: expected cell × gene." if found.shape == expected[::-1] else ""
            raise DataError(f"{self.source}: {layer} is {found.shape}, but obs × var is {expected}.{turned}")
        return found

    def base(self) -> float | None:
        """Return the base that scanpy's `log1p` noted, e where it noted only that it was called, or None."""
        noted = self.noted_log()
        if noted is None:
            return None
        base = noted.get("base")
        return float(base) if isinstance(base, (int, float, np.number)) else np.e


@dataclass(frozen=True)
class OfFile(Elements):
    """Parts of an open h5ad, of any AnnData version."""

    source: Path
    handle: h5py.File

    def table(self, place: str, wanted: Sequence[str]) -> pd.DataFrame:
        """See `Elements.table`."""
        if place not in self.handle:
            raise DataError(f"{self.source} has no {place}; is this an h5ad?")
        table, what = self.handle[place], f"{self.source}: {place}"
        with readable(self.source), warnings.catch_warnings():  # warnings are on the layouts of AnnData before 0.8
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            if isinstance(table, h5py.Group) and "__categories" not in table:
                check_columns([str(c) for c in table.attrs.get("column-order", ())], wanted, what)
                index = pd.Index(_read(table, str(table.attrs.get("_index", "_index")), what))
                columns = {c: _of_rows(_read(table, c, what), index, c) for c in wanted}
                return pd.DataFrame(index=index).assign(**columns)
            if isinstance(table, h5py.Group):
                frame: pd.DataFrame = read_elem(table)
            else:
                old = read_h5ad(self.source, backed="r")
                frame = (old.raw.var if place == "raw/var" else getattr(old, place)).copy()
                old.file.close()
        check_columns([str(c) for c in frame.columns], wanted, what)
        return frame

    def columns(self, place: str) -> Iterator[tuple[str, pd.Series]]:
        """See `Elements.columns`."""
        table = self.handle[place]
        if not isinstance(table, h5py.Group) or "__categories" in table:
            frame = self.table(place, [])
            yield from ((str(name), frame[name]) for name in frame)
            return
        for name in (str(c) for c in table.attrs.get("column-order", ())):
            try:
                frame = self.table(place, [name])
            except DataError:
                continue
            yield name, frame[name]

    def length(self, place: str) -> int:
        """Count the rows of a table: of its index, or of the compound array that AnnData wrote before 0.7."""
        table = self.handle[place]
        return len(table[str(table.attrs.get("_index", "_index"))] if isinstance(table, h5py.Group) else table)

    def matrices(self) -> list[str]:
        """See `Elements.matrices`; raises `DataError` for a file of 10x."""
        if isinstance(self.handle.get("matrix"), h5py.Group) and "X" not in self.handle:
            raise DataError(
                f"{self.source} is a 10x file; expected h5ad. Make one with scanpy.read_10x_h5(FILE).write_h5ad(FILE)."
            )
        here = {"X": "X", "raw": "raw/X"}
        return [*(name for name, place in here.items() if place in self.handle), *self.handle.get("layers", ())]

    def stored(self, layer: str) -> StoredMatrix:
        """See `Elements.stored`."""
        return StoredMatrix(self.handle[{"X": "X", "raw": "raw/X"}.get(layer, f"layers/{layer}")], str(self.source))

    def noted_log(self) -> Mapping[str, Any] | None:
        """See `Elements.noted_log`."""
        if "uns/log1p" not in self.handle:
            return None
        noted = self.handle["uns/log1p"]
        return {"base": noted["base"][()]} if isinstance(noted, h5py.Group) and "base" in noted else {}


@dataclass(frozen=True)
class OfMemory(Elements):
    """Parts of an AnnData, which is not changed."""

    source: InMemory
    _values: dict[str, Any] = field(default_factory=dict)
    """Matrices that were asked for; a view of an AnnData makes them anew each time."""

    def table(self, place: str, wanted: Sequence[str]) -> pd.DataFrame:
        """See `Elements.table`."""
        frame = self._frame(place)
        names = [str(c) for c in frame.columns]
        check_columns(names, wanted, f"{self.source}: {place}")
        wanted = list(dict.fromkeys(wanted))
        return frame.iloc[:, [names.index(c) for c in wanted]].set_axis(wanted, axis=1).copy()

    def _frame(self, place: str) -> pd.DataFrame:
        cells = self.source.cells
        if place != "raw/var":
            frame: pd.DataFrame = getattr(cells, place)
            return frame
        if cells.raw is None:
            raise DataError(f"{self.source} has no raw; it has {', '.join(self.matrices())}. Name one with --layer.")
        return cells.raw.var

    def columns(self, place: str) -> Iterator[tuple[str, pd.Series]]:
        """See `Elements.columns`."""
        frame = self._frame(place)
        yield from ((str(name), frame[name]) for name in frame)

    def length(self, place: str) -> int:
        """See `Elements.length`."""
        return len(self._frame(place))

    def matrices(self) -> list[str]:
        """See `Elements.matrices`."""
        cells = self.source.cells
        here = {"X": self._value("X") is not None, "raw": cells.raw is not None}
        return [*(name for name, there in here.items() if there), *cells.layers]

    def stored(self, layer: str) -> StoredMatrix:
        """See `Elements.stored`; raises `DataError` for a matrix that is neither NumPy's nor SciPy's."""
        found = self._value(layer)
        if not (isinstance(found, np.ndarray) or sp.issparse(found)):
            raise DataError(
                f"{self.source}: {layer} is a {type(found).__module__}.{type(found).__name__}; expected a NumPy array or a "
                "SciPy matrix. Bring it into memory (AnnData.to_memory), or give the path of its file."
            )
        return StoredMatrix(found, str(self.source))

    def _value(self, layer: str) -> Any:
        if layer not in self._values:
            cells = self.source.cells
            self._values[layer] = cells.X if layer == "X" else cells.raw.X if layer == "raw" else cells.layers[layer]
        return self._values[layer]

    def noted_log(self) -> Mapping[str, Any] | None:
        """See `Elements.noted_log`."""
        noted = self.source.cells.uns.get("log1p")
        return noted if isinstance(noted, Mapping) or noted is None else {}


class InMemory:
    """An AnnData that is read as a file of this name would be; raises `DataError` for anything else."""

    def __init__(self, cells: AnnData, name: str) -> None:
        if not isinstance(cells, AnnData):
            raise DataError(f"{name} is a {type(cells).__name__}; expected an AnnData, or the path of an h5ad file.")
        self.cells, self.name, self.stem = cells, name, name
        self.elements = OfMemory(self)

    def __str__(self) -> str:
        """Return its name, for messages."""
        return self.name


@contextmanager
def elements_of(source: Path | InMemory) -> Iterator[Elements]:
    """Open cells; what HDF5 or AnnData cannot read in a file is a `DataError` that names it and says what to do."""
    if isinstance(source, InMemory):
        yield source.elements
        return
    with opened(source) as handle:
        yield OfFile(source, handle)


def _read(table: h5py.Group, name: str, source: str) -> Any:
    try:
        return read_elem(table[name])
    except Exception as error:
        raise DataError(
            f"{source} column '{name}' cannot be read by this anndata ({error}). Write it again as text."
        ) from error


def _of_rows(column: Any, index: pd.Index, name: str) -> Any:
    """Return a column; raises `ValueError` unless it has one value for each row."""
    if np.shape(column) != (len(index),):
        raise ValueError(f"column '{name}' has shape {np.shape(column)}, and the index {len(index)} names")
    return column
