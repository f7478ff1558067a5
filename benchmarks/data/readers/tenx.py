"""10x triplets (barcodes.tsv, features.tsv or genes.tsv, and matrix.mtx, gene × cell, as Cell Ranger writes them), alone or
with the Weissman laboratory's cell_identities.csv, one row per droplet with a guide.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.data.readers import text_tables
from benchmarks.data.readers.blocks import CELLS_PER_BLOCK, ENTRY, Grid, canonical_blocks, csr_blocks, make_entries
from benchmarks.data.readers.gene_columns import map_genes
from benchmarks.data.readers.labels import Labelling, canonical_obs, name_perturbations
from benchmarks.data.readers.text_tables import open_bytes, open_text, read_table, table_chunks
from benchmarks.data.schema import Reading
from benchmarks.errors import DataError

BANNER = "%%MatrixMarket matrix coordinate"
INDEX = {"gene": np.int64, "cell": np.int64, "value": np.float32}
BYTES_PER_LINE = 16
"""Of an entry, about."""
IDENTITIES = ("cell_barcode", "guide_identity", "gemgroup", "good_coverage", "number_of_cells")


@dataclass(frozen=True)
class Triplet:
    """The three files of one 10x run."""

    barcodes: Path
    features: Path
    matrix: Path


def read_identified(
    files: Mapping[str, Path], context: str, label: Callable[[pd.Series], pd.Series], how: Labelling
) -> Reading:
    """Read raw counts of droplets that hold one cell and a guide seen well.

    Parameters
    ----------
    files
        Keys barcodes, genes, matrix, identities.
    context
        The cell line.
    label
        Guide identities → perturbation labels, written as `how` says; missing leaves the cell out.

    Raises
    ------
    DataError
        The files are not of one run, are truncated, or have no usable label.
    """
    notes: list[str] = []
    path = files["identities"]
    table = read_table(path, IDENTITIES, sep=",", numbers=("number_of_cells",)).set_index("cell_barcode")
    good = (table["good_coverage"].str.casefold() == "true") & (table["number_of_cells"] == 1)
    seen = table[good]
    named = name_perturbations(label(seen["guide_identity"]), str(path), how, notes).dropna()
    notes.append(f"{path.name}: {len(named)} of {len(table)} droplets hold one cell and a guide seen well.")
    triplet = Triplet(files["barcodes"], files["genes"], files["matrix"])
    rows, order = place(triplet.barcodes, pd.Index(named.index), notes)
    named = named.iloc[order]
    obs = canonical_obs(str(path), named, context, seen.loc[named.index, "gemgroup"])
    symbols, ids = read_features(triplet.features)
    genes = map_genes(symbols, triplet.features.name, ids, notes=notes)
    blocks = triplet_blocks(triplet, rows, len(symbols))
    return Reading(canonical_blocks(blocks, obs, genes, str(triplet.matrix), notes=notes), notes=notes)


def place(
    path: Path, labelled: pd.Index, notes: list[str], clean: Callable[[pd.Series], pd.Series] = lambda text: text
) -> tuple[np.ndarray, np.ndarray]:
    """Find cells that have labels, by their barcodes, among those of a matrix, one a line, which `clean` is applied to.

    Returns
    -------
    rows
        For each barcode of the file its place among the cells found, −1 for none, int [barcode].
    order
        The cells found in the order of the file: positions in `labelled`, int [cell].

    Raises
    ------
    DataError
        No label fits, or a barcode occurs twice on either side.
    """
    if not labelled.is_unique:
        twice = labelled[labelled.duplicated()][0]
        raise DataError(f"The labels of the cells of {path} have barcode '{twice}' more than once; get them again.")
    with open_text(path) as lines:
        found = [labelled.get_indexer(clean(chunk["cell"])) for chunk in table_chunks(lines, "\t", {"cell": str})]
    position = np.concatenate(found)
    order, n = position[position >= 0], len(position)
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
    return np.where(position >= 0, np.cumsum(position >= 0) - 1, -1), order


def read_features(path: Path) -> tuple[list[str], list[str]]:
    """Read symbols and Ensembl ids of the genes in the order of the matrix; a file of ids alone gives them twice."""
    table = read_table(path, header=False).fillna("")
    return list(table.iloc[:, min(1, table.shape[1] - 1)]), list(table.iloc[:, 0])


def triplet_blocks(
    triplet: Triplet, rows: np.ndarray, n_genes: int, cells_per_block: int = CELLS_PER_BLOCK
) -> Iterator[sp.csr_matrix]:
    """Read the cells of a 10x matrix that `rows` of `place` names, block by block: float32 [cell, gene].

    Raises `DataError` if it is truncated, transposed or of another shape than its lists, or its entries are no numbers.
    """
    path = triplet.matrix
    with open_bytes(path) as lines:
        n_rows, n_columns, n_entries = _read_head(lines, path)
        if (n_rows, n_columns) != (n_genes, len(rows)):
            raise DataError(
                f"{path} is {n_rows} × {n_columns}, expected gene × cell, {n_genes} × {len(rows)} by "
                f"{triplet.features.name} and {triplet.barcodes.name}: it is transposed, or the three files are not of one "
                "run, or one is cut off."
            )
        yield from csr_blocks(_entries(lines, n_entries, path), Grid(rows, n_genes, str(path), cells_per_block))


def _read_head(lines: IO[bytes], path: Path) -> tuple[int, ...]:
    """Read the head of a sparse MatrixMarket file: numbers of rows, columns and entries."""
    first = lines.readline().decode()
    if not first.startswith(BANNER):
        raise DataError(f"{path} begins with '{first[:60].strip()}', expected '{BANNER}'. Is this the 10x matrix?")
    line = lines.readline().decode()
    while line.startswith("%") or (line and not line.strip()):
        line = lines.readline().decode()
    sizes = line.split()
    if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
        raise DataError(f"{path} has '{line[:60].strip()}' where rows, columns and entries are expected; get it again.")
    return tuple(map(int, sizes))


def read_entries(lines: IO[bytes], separator: str) -> Iterator[np.ndarray]:
    """Read lines of gene, cell and value, from 1, some at a time, as `make_entries` puts them together.

    Lines of three whole numbers are parsed by compiled code; where there are others, pandas reads the lines, and says what is
    wrong with them (see `text_tables.readable`).
    """
    from benchmarks.data.readers.compiled import parse_entries

    while text := lines.read(BYTES_PER_LINE * text_tables.ROWS_PER_CHUNK):
        text += lines.readline()
        entries = np.empty(text.count(b"\n") + 1, ENTRY)
        characters = np.frombuffer(text if text.endswith(b"\n") else text + b"\n", np.uint8)
        n = parse_entries(characters, ord(separator), entries["gene"], entries["cell"], entries["value"])
        if n >= 0:
            yield entries[:n]
        else:
            for chunk in table_chunks(io.StringIO(text.decode()), separator, INDEX):
                yield make_entries(chunk["cell"] - 1, chunk["gene"] - 1, chunk["value"])


def _entries(lines: IO[bytes], expected: int, path: Path) -> Iterator[np.ndarray]:
    found = 0
    for chunk in read_entries(lines, " "):
        found += len(chunk)
        yield chunk
    if found != expected:
        raise DataError(
            f"{path} has {found:,} entries, its head announces {expected:,}: it is truncated or damaged. Get it again."
        )
