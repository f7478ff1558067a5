"""Kinker 2020: gene × cell text of the pan-cancer lines, 20 GB → canonical AnnData; all cells are controls.

A line of the text is a gene: its values are dealt out to blocks of cells on disk, and the text is read once.
"""

import itertools
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.data.readers.blocks import Grid, canonical_blocks, csr_blocks, make_entries
from benchmarks.data.readers.gene_columns import map_genes
from benchmarks.data.readers.labels import canonical_obs
from benchmarks.data.readers.text_tables import open_text, read_table
from benchmarks.data.schema import Reading
from benchmarks.errors import DataError

LABELS = ("NAME", "Cell_line", "Pool_ID")
LABEL_LINES = ("Cell_line", "Pool_ID")
"""Lines of labels that the file of counts has above its genes, and the file of CPM has not."""
MOST_GENES = 1 << 18
GENES_AT_ONCE = 64
CPM_TOTAL = (5e5, 1.5e6)
"""Where the median total of a block's cells must lie if the values are counts per million."""


def read(files: Mapping[str, Path]) -> Reading:
    """Read counts per million as log2(CPM / 100 + 1), which is log2(CP10k + 1)."""
    reading = read_lines(files["cpm"], files["metadata"], "cpm")
    return Reading((scaled(block, files["cpm"]) for block in reading.blocks), notes=reading.notes)


def read_lines(matrix: Path, metadata: Path, space: str) -> Reading:
    """Read the cells of the metadata (those that passed the authors' quality control), values as they come.

    `matrix` is text: a line of cell names, then a line per gene. `space` is "counts" or "cpm".
    """
    notes: list[str] = []
    table = read_table(metadata, LABELS).set_index("NAME").drop(index="TYPE", errors="ignore")
    with open_text(matrix) as lines:
        names = pd.Index([name.strip().strip('"') for name in lines.readline().rstrip("\r\n").split("\t")[1:]])
    known = names.isin(table.index)
    if not known.any() or not names.is_unique:
        raise DataError(
            f"{matrix} names {len(names)} cells ({names.nunique()} different), {int(known.sum())} of them in "
            f"{metadata.name}, which has {len(table)}; expected different names of the same study, in its first line."
        )
    notes.append(
        f"{matrix.name}: {int(known.sum())} of {len(names)} cells are in {metadata.name}, the others are left out."
    )
    table = table.loc[names[known]]
    control = pd.Series(CONTROL, index=table.index)
    obs = canonical_obs(str(metadata), control, table["Cell_line"], table["Pool_ID"])
    grid = Grid(np.where(known, np.cumsum(known) - 1, -1), MOST_GENES, str(matrix), by_cell=False)
    return Reading(labelled(matrix, grid, obs, space, notes), notes=notes)


def labelled(matrix: Path, grid: Grid, obs: pd.DataFrame, space: str, notes: list[str]) -> Iterator[AnnData]:
    """Sort the text by cell, then name the genes, all of which are known once the text has been read."""
    genes: list[str] = []
    blocks = csr_blocks(entries(matrix, len(grid.rows), genes), grid)
    first = next(blocks)
    named = map_genes(genes, matrix.name, notes=notes)
    trimmed = (trim(block, len(genes)) for block in itertools.chain([first], blocks))
    yield from canonical_blocks(trimmed, obs, named, grid.source, space, notes)


def trim(block: sp.csr_matrix, n_genes: int) -> sp.csr_matrix:
    """Cut a block to the genes there are."""
    block.resize(block.shape[0], n_genes)
    return block


def entries(path: Path, n_cells: int, genes: list[str]) -> Iterator[np.ndarray]:
    """Read the values that are not zero, some genes at once; `genes` takes their names."""
    with open_text(path) as lines:
        lines.readline()
        fields = (line.partition("\t") for line in lines)
        rows = ((name.strip().strip('"'), text) for name, _, text in fields if name.strip('"') not in LABEL_LINES)
        while some := list(itertools.islice(rows, GENES_AT_ONCE)):
            first = len(genes)
            genes += [name for name, _ in some]
            yield np.concatenate([parse(text, n_cells, first + i, path) for i, (_, text) in enumerate(some)])


def parse(text: str, n_cells: int, gene: int, path: Path) -> np.ndarray:
    """Parse one gene's values."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy's way to say that it met something else
        try:
            values = np.fromstring(text, dtype=np.float32, sep="\t")
        except (DeprecationWarning, ValueError) as error:
            raise DataError(
                f"{path}: gene {gene + 1} has a value that is not a number ({error}); get it again."
            ) from error
    if len(values) != n_cells:
        raise DataError(
            f"{path}: gene {gene + 1} has {len(values)} values for {n_cells} cells; the file is cut off or damaged. Get "
            "it again."
        )
    cell = np.flatnonzero(values)
    return make_entries(cell, np.full(len(cell), gene), values[cell])


def scaled(block: AnnData, path: Path) -> AnnData:
    """Bring counts per million into log2(CP10k + 1), once they have been seen to be such."""
    total = float(np.median(np.asarray(block.X.sum(axis=1)).ravel()))
    if not CPM_TOTAL[0] <= total <= CPM_TOTAL[1]:
        raise DataError(
            f"{path}: cells sum to {total:,.0f} (median), expected about 1,000,000: these are not counts per million. "
            "Log values cannot be used here; raw counts are the data set kinker_umi."
        )
    block.X.data = np.log2(block.X.data / 100 + 1)
    return block
