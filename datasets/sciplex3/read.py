"""sci-Plex 3, GSE139944 / GSM4150378: entries gene, cell, count, and the decoded hashes of pData → canonical AnnData.

Cells and genes are kept as the authors do (large_screen/Notebook3_preprocess_data.R of their repository).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data.readers.blocks import Grid, canonical_blocks, csr_blocks
from benchmarks.data.readers.gene_columns import map_genes
from benchmarks.data.readers.labels import Labelling, as_text, canonical_obs, name_perturbations, parse_doses
from benchmarks.data.readers.tenx import place, read_entries
from benchmarks.data.readers.text_tables import BLANKS, open_bytes, read_table
from benchmarks.data.schema import Reading

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
    rows, order = place(files["cells"], pd.Index(cells.index), notes)
    cells = cells.iloc[order]
    obs = canonical_obs(
        str(files["pdata"]),
        cells["perturbation"],
        context=cells["cell_type"],
        batch=cells["replicate"],
        arm=as_text(cells["time_point"]) + "h",
        dose=parse_doses(cells["dose"].mask(cells["perturbation"] == "control"), str(files["pdata"])),
    )
    annotation = read_table(files["genes"], ("id", "gene_short_name"), sep=BLANKS).fillna("")
    ids = list(annotation["id"])
    human = np.array([i.startswith("ENSG") for i in ids])
    genes = map_genes(list(annotation["gene_short_name"]), files["genes"].name, ids, notes=notes).only(human)
    blocks = csr_blocks(entries(files["matrix"]), Grid(rows, len(ids), str(files["matrix"])))
    return Reading(canonical_blocks(blocks, obs, genes, str(files["matrix"]), notes=notes), notes=notes)


def entries(path: Path) -> Iterator[np.ndarray]:
    """Read the entries of every cell of the matrix: gene, cell and count, from 1, without a head."""
    with open_bytes(path) as lines:
        yield from read_entries(lines, "\t")


def read_cells(path: Path, notes: list[str]) -> pd.DataFrame:
    """Read the cells whose hashes are certain and whose well was part of the screen."""
    numbers = (*HASHES, "rt_well", "time_point")
    table = read_table(path, (*LABELS, *numbers), sep=" ", numbers=numbers).set_index("cell")
    hashed = (table[list(HASHES)] >= MIN_HASH).all(axis=1) & table[["top_oligo_W", "top_oligo_P"]].notna().all(axis=1)
    known = table[["cell_type", "product_name"]].notna().all(axis=1)
    kept = hashed & known & (table["rt_well"] != EMPTY_WELL)
    notes.append(f"{path.name}: {int(kept.sum())} of {len(table)} cells have certain hashes of a well of the screen.")
    table = table[kept]
    label = table["product_name"].mask(table["vehicle"].str.casefold() == "true", "control")
    how = Labelling(controls=("control",), genes=False)
    return table.assign(perturbation=name_perturbations(label, str(path), how, notes))
