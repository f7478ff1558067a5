"""Entries or blocks of a matrix → canonical cells in blocks, which are never all in memory.

Entries (cell, gene, value) come in any order. Those sorted by cell stream straight through; others are first dealt out to
one file per block on disk, 12 bytes an entry, in the folder that `TMPDIR` names.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data.readers.gene_columns import GeneMap
from benchmarks.data.schema import check_values
from benchmarks.errors import DataError

CELLS_PER_BLOCK = 2048
ENTRY = np.dtype([("cell", "<i4"), ("gene", "<i4"), ("value", "<f4")])


@dataclass(frozen=True)
class Grid:
    """What a matrix must be like, and how it is cut."""

    rows: np.ndarray
    """For each cell of the file its place among the cells wanted, −1 to leave it out, int [cell of the file]."""
    n_genes: int
    source: str
    """The file, for messages."""
    cells_per_block: int = CELLS_PER_BLOCK
    by_cell: bool | None = None
    """Whether entries come sorted by cell; None: if the first of them rise and give a cell several."""

    @property
    def n_cells(self) -> int:
        """Number of cells wanted."""
        return int((self.rows >= 0).sum())


def make_entries(cell: np.ndarray, gene: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Put entries into one array of `ENTRY`; cells and genes are counted from 0, in the file's own order."""
    entries = np.empty(len(cell), ENTRY)
    entries["cell"], entries["gene"], entries["value"] = cell, gene, value
    return entries


def csr_blocks(entries: Iterable[np.ndarray], grid: Grid) -> Iterator[sp.csr_matrix]:
    """Put chunks of entries from `make_entries` together, block of cells by block of cells.

    Yields
    ------
    csr_matrix
        float32 [cell, gene]: the cells wanted in order, `cells_per_block` of them, the last block fewer. Entries of one
        cell and gene that come twice are summed.

    Raises
    ------
    DataError
        A cell or gene outside the grid; entries that stop being sorted by cell; no room on the disk.
    """
    wanted = (some for some in _wanted(entries, grid) if len(some))
    first = next(wanted, None)
    if first is None:
        raise DataError(f"{grid.source} has no entry for any of the {grid.n_cells} cells; is this the upstream file?")
    steps = np.diff(first["cell"])  # cell by cell, or gene by gene, where the cells of one gene rise too
    by_cell = bool((steps >= 0).all() and (not len(steps) or (steps == 0).any()))
    deal = _streamed if (by_cell if grid.by_cell is None else grid.by_cell) else _spilled
    yield from deal(itertools.chain([first], wanted), grid)


def canonical_blocks(
    blocks: Iterable[sp.csr_matrix],
    obs: pd.DataFrame,
    genes: GeneMap,
    source: str,
    space: str = "counts",
    notes: list[str] | None = None,
) -> Iterator[AnnData]:
    """Give blocks (CSR float32 [cell, source column], all cells of `obs` in order) their labels and genes.

    Cells without any count are left out; `notes` takes how many. Raises `DataError`, which names `source`, for values that
    the space cannot have, more or fewer cells than labels, or none with counts.
    """
    start, empty = 0, 0
    for x in blocks:
        labels = obs.iloc[start : start + x.shape[0]]
        start += x.shape[0]
        if len(labels) != x.shape[0]:
            break
        x = genes.apply(x)
        check_values(x, source, space)
        if space == "counts":
            counted = np.asarray(x.sum(axis=1)).ravel() > 0
            empty += int((~counted).sum())
            x, labels = x[counted], labels[counted]
        if x.shape[0]:
            yield AnnData(X=x, obs=labels.copy(), var=pd.DataFrame(index=genes.names))
    if start != len(obs):
        raise DataError(f"{source} has {start} cells and {len(obs)} labels; they are not of one data set.")
    if empty == len(obs):
        raise DataError(f"{source}: not one of {empty} cells has a count. Is this the upstream file?")
    if empty and notes is not None:
        notes.append(f"{source}: {empty} cells have no count at all and are left out.")


def _wanted(entries: Iterable[np.ndarray], grid: Grid) -> Iterator[np.ndarray]:
    """Check entries, keep those of the cells wanted and renumber these."""
    for some in entries:
        for name, n in (("cell", len(grid.rows)), ("gene", grid.n_genes)):
            index = some[name]
            if len(index) and (index.min() < 0 or index.max() >= n):
                raise DataError(
                    f"{grid.source} has entries for {name}s {index.min() + 1} to {index.max() + 1}, expected 1 to {n}: "
                    f"the matrix and the list of {name}s are not of one data set, or it does not count from 1."
                )
        cell = grid.rows[some["cell"]]
        kept = some[cell >= 0]
        kept["cell"] = cell[cell >= 0]
        yield kept


def _rising(cells: np.ndarray) -> bool:
    return bool((np.diff(cells) >= 0).all())


def _csr(parts: list[np.ndarray], start: int, grid: Grid) -> sp.csr_matrix:
    shape = (min(grid.cells_per_block, grid.n_cells - start), grid.n_genes)
    entries = np.concatenate([np.empty(0, ENTRY), *parts])
    cell, gene, value = (np.ascontiguousarray(entries[name]) for name in ("cell", "gene", "value"))
    cell -= start
    if _rising(cell):
        ends = np.cumsum(np.bincount(cell, minlength=shape[0]))
        block = sp.csr_matrix((value, gene, np.append(0, ends)), shape=shape)
    else:
        block = sp.coo_matrix((value, (cell, gene)), shape=shape).tocsr()
    block.sum_duplicates()
    return block


def _streamed(entries: Iterable[np.ndarray], grid: Grid) -> Iterator[sp.csr_matrix]:
    start, last = 0, -1
    pending: list[np.ndarray] = []
    for some in entries:
        if some["cell"][0] < last or not _rising(some["cell"]):
            raise DataError(
                f"{grid.source} is sorted by cell at its beginning and not later; it was put together of pieces or is "
                "damaged. Get it again, or sort its entries by cell."
            )
        last = int(some["cell"][-1])
        while len(some) and last >= start + grid.cells_per_block:
            cut = int(np.searchsorted(some["cell"], start + grid.cells_per_block))
            yield _csr([*pending, some[:cut]], start, grid)
            pending, some = [], some[cut:]
            start += grid.cells_per_block
        pending.append(some)
    while start < grid.n_cells:
        yield _csr(pending, start, grid)
        pending, start = [], start + grid.cells_per_block


def _spilled(entries: Iterable[np.ndarray], grid: Grid) -> Iterator[sp.csr_matrix]:
    with tempfile.TemporaryDirectory(prefix="cycseq-entries-") as folder:
        for some in entries:
            try:
                _deal(some, Path(folder), grid.cells_per_block)
            except OSError as error:
                raise DataError(
                    f"Sorting {grid.source} by cell needs room in {tempfile.gettempdir()}: {error.strerror}. Free some, or "
                    "name a larger folder with the environment variable TMPDIR."
                ) from error
        for start in range(0, grid.n_cells, grid.cells_per_block):
            path = Path(folder) / str(start // grid.cells_per_block)
            yield _csr([np.fromfile(path, ENTRY)] if path.exists() else [], start, grid)
            path.unlink(missing_ok=True)


def _deal(some: np.ndarray, folder: Path, cells_per_block: int) -> None:
    """Append entries to the files of their blocks."""
    block = some["cell"] // cells_per_block
    order = np.argsort(block, kind="stable")
    numbers, starts = np.unique(block[order], return_index=True)
    for number, part in zip(numbers, np.split(some[order], starts[1:]), strict=True):
        with (folder / str(number)).open("ab") as handle:
            part.tofile(handle)
