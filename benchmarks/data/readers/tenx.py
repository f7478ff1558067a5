"""10x triplets: barcodes.tsv, features.tsv (or genes.tsv) and matrix.mtx, gene × cell, as Cell Ranger writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.data.readers.sparse_entries import CELLS_PER_BLOCK, Entries, Grid, csr_blocks, select
from benchmarks.data.readers.text_tables import Layout, name_columns, open_text, read_table, table_chunks
from benchmarks.errors import DataError

BANNER = "%%MatrixMarket matrix coordinate"
INDEX = {"gene": np.int64, "cell": np.int64, "value": np.float32}


@dataclass(frozen=True)
class Triplet:
    """The three files of one 10x run."""

    barcodes: Path
    features: Path
    matrix: Path


@dataclass(frozen=True)
class Placed:
    """Labelled cells, found among the barcodes of a matrix."""

    rows: np.ndarray
    """For each barcode of the file its place among the labelled cells, −1 for none, int [barcode]."""
    order: np.ndarray
    """The labelled cells in the order of the file, positions in the table of labels, int [cell]."""


def place(
    path: Path, labelled: pd.Index, notes: list[str], clean: Callable[[pd.Series], pd.Series] = lambda text: text
) -> Placed:
    """Find labelled cells among a matrix's barcodes, which are read in chunks: droplets may be millions.

    Parameters
    ----------
    path
        barcodes.tsv: one barcode a line.
    labelled
        Barcodes of the cells that have labels, unique.
    notes
        Takes how many barcodes and labels have no partner.
    clean
        What is done to the file's barcodes before they are compared.

    Raises
    ------
    DataError
        No label fits, or a barcode occurs twice on either side.
    """
    if not labelled.is_unique:
        twice = labelled[labelled.duplicated()][0]
        raise DataError(f"The labels of the cells of {path} have barcode '{twice}' more than once; get them again.")
    found, n = [], 0
    fields = dict.fromkeys(name_columns(path, Layout(header=False)), str)
    for chunk in table_chunks(path, "\t", fields):
        found.append(labelled.get_indexer(clean(chunk.iloc[:, 0])))
        n += len(chunk)
    position = np.concatenate(found)
    order = position[position >= 0]
    if not len(order):
        raise DataError(
            f"None of the {n:,} barcodes of {path} is among the {len(labelled):,} labelled cells, such as "
            f"'{labelled[0]}': the labels are of another run, or one side has a prefix or suffix."
        )
    if len(np.unique(order)) < len(order):
        raise DataError(f"{path} has a barcode more than once; get the file again.")
    if len(order) < max(n, len(labelled)):
        notes.append(
            f"{path.name}: {len(order):,} of {n:,} barcodes have labels; {len(labelled) - len(order):,} labels have no barcode."
        )
    return Placed(np.where(position >= 0, np.cumsum(position >= 0) - 1, -1), order)


def read_features(path: Path) -> tuple[list[str], list[str]]:
    """Read symbols and Ensembl ids of the genes in the order of the matrix; a file of ids alone gives them twice."""
    table = read_table(path, layout=Layout(header=False)).fillna("")
    return list(table.iloc[:, min(1, table.shape[1] - 1)]), list(table.iloc[:, 0])


def triplet_blocks(
    triplet: Triplet, rows: np.ndarray, n_genes: int, cells_per_block: int = CELLS_PER_BLOCK
) -> Iterator[sp.csr_matrix]:
    """Read some cells of a 10x matrix, block by block.

    Parameters
    ----------
    triplet
        The files.
    rows
        For each barcode its place among the cells wanted, −1 to leave it out, int [barcode].
    n_genes
        Rows of features.tsv.
    cells_per_block
        Cells in a block.

    Yields
    ------
    csr_matrix
        float32 [cell, gene].

    Raises
    ------
    DataError
        The matrix is truncated, transposed or of another shape than its lists; its entries are no numbers.
    """
    skip, shape, n_entries = read_matrix_head(triplet.matrix)
    _check_shape(triplet, shape, (n_genes, len(rows)))
    grid = Grid(int((rows >= 0).sum()), n_genes, str(triplet.matrix), cells_per_block)
    return csr_blocks(select(_entries(triplet.matrix, skip, n_entries), rows), grid)


def read_matrix_head(path: Path) -> tuple[int, tuple[int, int], int]:
    """Read the head of a MatrixMarket file.

    Returns
    -------
    int, (int, int), int
        Lines before the entries; rows and columns; number of entries.

    Raises
    ------
    DataError
        It is no sparse MatrixMarket file.
    """
    with open_text(path) as lines:
        first = lines.readline()
        if not first.startswith(BANNER):
            raise DataError(f"{path} begins with '{first[:60].strip()}', expected '{BANNER}'. Is this the 10x matrix?")
        skip, line = 2, lines.readline()
        while line.startswith("%") or (line and not line.strip()):
            skip, line = skip + 1, lines.readline()
        sizes = line.split()
    if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
        raise DataError(f"{path} has '{line[:60].strip()}' where rows, columns and entries are expected; get it again.")
    n_rows, n_columns, n_entries = map(int, sizes)
    return skip, (n_rows, n_columns), n_entries


def _check_shape(triplet: Triplet, shape: tuple[int, int], expected: tuple[int, int]) -> None:
    if shape == expected:
        return
    n_genes, n_cells = expected
    if shape == (n_cells, n_genes):
        raise DataError(
            f"{triplet.matrix} is {shape[0]} × {shape[1]}, cell × gene: it is transposed, expected gene × cell "
            f"({n_genes} × {n_cells}) as Cell Ranger writes it. Transpose it."
        )
    raise DataError(
        f"{triplet.matrix} is {shape[0]} × {shape[1]}, but {triplet.features.name} has {n_genes} genes and "
        f"{triplet.barcodes.name} has {n_cells} barcodes: the three files are not of one run, or one is cut off."
    )


def _entries(path: Path, skip: int, expected: int) -> Iterator[Entries]:
    found = 0
    for chunk in table_chunks(path, " ", INDEX, skip):
        found += len(chunk)
        yield Entries(chunk["cell"].to_numpy() - 1, chunk["gene"].to_numpy() - 1, chunk["value"].to_numpy())
    if found != expected:
        raise DataError(
            f"{path} has {found:,} entries, its head announces {expected:,}: it is truncated or damaged. Get it again."
        )
