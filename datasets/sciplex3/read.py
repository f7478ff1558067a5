"""sci-Plex 3, GSE139944 / GSM4150378: entries gene, cell, count, and the decoded hashes of pData → canonical AnnData.

Cells and genes are kept as the authors do (large_screen/Notebook3_preprocess_data.R of their repository).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data.readers.blocks import Source, canonical_blocks
from benchmarks.data.readers.gene_columns import map_genes, only
from benchmarks.data.readers.labels import Cells, Labelling, as_text, canonical_obs, name_perturbations, parse_doses
from benchmarks.data.readers.sparse_entries import Entries, Grid, csr_blocks, select
from benchmarks.data.readers.tenx import INDEX, place
from benchmarks.data.readers.text_tables import BLANKS, Layout, read_table, table_chunks
from benchmarks.data.schema import Reading
from benchmarks.errors import DataError

LABELS = ("cell", "top_oligo_W", "top_oligo_P", "cell_type", "replicate", "vehicle", "dose", "product_name")
HASHES = ("hash_umis_W", "hash_umis_P", "top_to_second_best_ratio_W", "top_to_second_best_ratio_P")
MIN_HASH = 5
"""Fewest UMIs of the well's and the plate's hash, and fewest times as many as of the next hash."""
EMPTY_WELL = 1
"""Reverse-transcription well that the authors leave out."""


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts of human genes in cells whose well and plate are known."""
    notes: list[str] = []
    cells = read_cells(files["pdata"], notes)
    placed = place(files["cells"], pd.Index(cells.index), notes)
    cells = cells.iloc[placed.order]
    obs = canonical_obs(
        Cells(
            perturbation=cells["perturbation"],
            context=cells["cell_type"],
            arm=as_text(cells["time_point"]) + "h",
            batch=cells["replicate"],
            dose=parse_doses(cells["dose"].mask(cells["perturbation"] == "control"), str(files["pdata"])),
        ),
        str(files["pdata"]),
    )
    annotation = read_table(files["genes"], ("id", "gene_short_name"), Layout(sep=BLANKS)).fillna("")
    ids = list(annotation["id"])
    human = np.array([i.startswith("ENSG") for i in ids])
    genes = only(map_genes(list(annotation["gene_short_name"]), files["genes"].name, ids, notes=notes), human)
    grid = Grid(len(cells), len(ids), str(files["matrix"]))
    blocks = csr_blocks(select(entries(files["matrix"], len(placed.rows)), placed.rows), grid)
    return Reading(canonical_blocks(blocks, Source(grid.source, obs, genes, notes=notes)), notes=notes)


def entries(path: Path, n_cells: int) -> Iterator[Entries]:
    """Read the entries of every cell of the matrix: gene, cell and count, from 1, without a head."""
    for chunk in table_chunks(path, "\t", INDEX):
        cell = chunk["cell"].to_numpy() - 1
        if cell.min() < 0 or cell.max() >= n_cells:
            raise DataError(
                f"{path} has counts of cells {cell.min() + 1} to {cell.max() + 1}, expected 1 to {n_cells}: it is not "
                "of one screen with cell.annotations, or its columns gene and cell are in another order."
            )
        yield Entries(cell, chunk["gene"].to_numpy() - 1, chunk["value"].to_numpy())


def read_cells(path: Path, notes: list[str]) -> pd.DataFrame:
    """Read the cells whose hashes are certain and whose well was part of the screen."""
    numbers = (*HASHES, "rt_well", "time_point")
    table = read_table(path, (*LABELS, *numbers), Layout(sep=" "), numbers=numbers).set_index("cell")
    hashed = (table[list(HASHES)] >= MIN_HASH).all(axis=1) & table[["top_oligo_W", "top_oligo_P"]].notna().all(axis=1)
    known = table[["cell_type", "product_name"]].notna().all(axis=1)
    kept = hashed & known & (table["rt_well"] != EMPTY_WELL)
    notes.append(f"{path.name}: {int(kept.sum())} of {len(table)} cells have certain hashes of a well of the screen.")
    table = table[kept]
    label = table["product_name"].mask(table["vehicle"].str.casefold() == "true", "control")
    return table.assign(perturbation=name_perturbations(label, str(path), Labelling(controls=("control",)), notes))
