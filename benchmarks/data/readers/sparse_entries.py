"""Sparse entries (cell, gene, value) in any order → blocks of cells [cell, gene] that are never all in memory.

Entries sorted by cell stream straight through. Others are first dealt out to one file per block on disk, 12 bytes an
entry, in the folder that `TMPDIR` names.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.errors import DataError

CELLS_PER_BLOCK = 2048
RECORD = np.dtype([("cell", "<i4"), ("gene", "<i4"), ("value", "<f4")])


@dataclass(frozen=True)
class Entries:
    """Some entries of a matrix; the three arrays [entry] belong together."""

    cell: np.ndarray
    gene: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.cell)

    def part(self, which: slice | np.ndarray) -> Entries:
        """Some of them."""
        return Entries(self.cell[which], self.gene[which], self.value[which])


@dataclass(frozen=True)
class Grid:
    """What a matrix must be like, and how it is cut."""

    n_cells: int
    n_genes: int
    source: str
    """The file, for messages."""
    cells_per_block: int = CELLS_PER_BLOCK
    by_cell: bool | None = None
    """Whether entries come sorted by cell; None: if the first of them rise and give a cell several."""


def select(entries: Iterable[Entries], rows: np.ndarray) -> Iterator[Entries]:
    """Keep the entries of some cells and renumber them.

    Parameters
    ----------
    entries
        With the file's own numbers of cells.
    rows
        New number of each of the file's cells, −1 for those to leave out, int [cell of the file].
    """
    for some in entries:
        cell = rows[some.cell]
        yield Entries(cell, some.gene, some.value).part(cell >= 0)


def csr_blocks(entries: Iterable[Entries], grid: Grid) -> Iterator[sp.csr_matrix]:
    """Put entries together, block of cells by block of cells.

    Parameters
    ----------
    entries
        Chunks of entries; each is small enough for memory.
    grid
        Shape, and the number of cells in a block.

    Yields
    ------
    csr_matrix
        float32 [cell, gene]: the cells in order, `cells_per_block` of them, the last block fewer. Entries of one cell
        and gene that come twice are summed.

    Raises
    ------
    DataError
        A cell or gene outside the grid; entries that stop being sorted by cell; no room on the disk.
    """
    checked = (some for some in _inside(entries, grid) if len(some))
    first = next(checked, None)
    if first is None:
        raise DataError(f"{grid.source} has no entry for any of the {grid.n_cells} cells; is this the upstream file?")
    by_cell = _by_cell(first.cell) if grid.by_cell is None else grid.by_cell
    deal = _streamed if by_cell else _spilled
    yield from deal(itertools.chain([first], checked), grid)


def _inside(entries: Iterable[Entries], grid: Grid) -> Iterator[Entries]:
    for some in entries:
        for name, index, n in (("cell", some.cell, grid.n_cells), ("gene", some.gene, grid.n_genes)):
            if len(index) and (index.min() < 0 or index.max() >= n):
                raise DataError(
                    f"{grid.source} has entries for {name}s {index.min() + 1} to {index.max() + 1}, expected 1 to {n}: "
                    f"the matrix and the list of {name}s are not of one data set, or it does not count from 1."
                )
        yield Entries(some.cell.astype(np.int32), some.gene.astype(np.int32), some.value.astype(np.float32))


def _by_cell(cells: np.ndarray) -> bool:
    """Distinguish cell by cell from gene by gene, where the cells of one gene rise too."""
    steps = np.diff(cells)
    return bool((steps >= 0).all() and (not len(steps) or (steps == 0).any()))


def _rising(cells: np.ndarray) -> bool:
    return bool((np.diff(cells) >= 0).all())


def _csr(parts: list[Entries], start: int, grid: Grid) -> sp.csr_matrix:
    shape = (min(grid.cells_per_block, grid.n_cells - start), grid.n_genes)
    if not parts:
        return sp.csr_matrix(shape, dtype=np.float32)
    cell, gene, value = (np.concatenate([getattr(p, name) for p in parts]) for name in ("cell", "gene", "value"))
    cell -= start
    if _rising(cell):
        ends = np.cumsum(np.bincount(cell, minlength=shape[0]))
        block = sp.csr_matrix((value, gene, np.append(0, ends)), shape=shape)
    else:
        block = sp.coo_matrix((value, (cell, gene)), shape=shape).tocsr()
    block.sum_duplicates()
    return block


def _streamed(entries: Iterable[Entries], grid: Grid) -> Iterator[sp.csr_matrix]:
    start, last = 0, -1
    pending: list[Entries] = []
    for some in entries:
        if some.cell[0] < last or not _rising(some.cell):
            raise DataError(
                f"{grid.source} is sorted by cell at its beginning and not later; it was put together of pieces or is "
                "damaged. Get it again, or sort its entries by cell."
            )
        last = int(some.cell[-1])
        while len(some) and some.cell[-1] >= start + grid.cells_per_block:
            cut = int(np.searchsorted(some.cell, start + grid.cells_per_block))
            yield _csr([*pending, some.part(slice(0, cut))], start, grid)
            pending, some = [], some.part(slice(cut, None))
            start += grid.cells_per_block
        pending.append(some)
    while start < grid.n_cells:
        yield _csr(pending, start, grid)
        pending, start = [], start + grid.cells_per_block


def _spilled(entries: Iterable[Entries], grid: Grid) -> Iterator[sp.csr_matrix]:
    with tempfile.TemporaryDirectory(prefix="cycseq-entries-") as folder:
        try:
            for some in entries:
                _deal(some, Path(folder), grid.cells_per_block)
        except OSError as error:
            raise DataError(
                f"Sorting {grid.source} by cell needs room in {tempfile.gettempdir()}: {error.strerror}. Free some, or "
                "name a larger folder with the environment variable TMPDIR."
            ) from error
        for start in range(0, grid.n_cells, grid.cells_per_block):
            path = Path(folder) / str(start // grid.cells_per_block)
            records = np.fromfile(path, RECORD) if path.exists() else np.empty(0, RECORD)
            yield _csr([Entries(records["cell"], records["gene"], records["value"])], start, grid)
            path.unlink(missing_ok=True)


def _deal(some: Entries, folder: Path, cells_per_block: int) -> None:
    """Append entries to the files of their blocks."""
    block = some.cell // cells_per_block
    order = np.argsort(block, kind="stable")
    records = np.empty(len(some), RECORD)
    records["cell"], records["gene"], records["value"] = some.cell[order], some.gene[order], some.value[order]
    numbers, starts = np.unique(block[order], return_index=True)
    for number, part in zip(numbers, np.split(records, starts[1:]), strict=True):
        with (folder / str(number)).open("ab") as handle:
            part.tofile(handle)
