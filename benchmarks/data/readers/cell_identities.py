"""A 10x triplet and the Weissman laboratory's cell_identities.csv, one row per droplet with a guide → canonical cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from benchmarks.data.readers.blocks import Source, canonical_blocks
from benchmarks.data.readers.gene_columns import map_genes, restore
from benchmarks.data.readers.labels import Cells, Labelling, canonical_obs, name_perturbations
from benchmarks.data.readers.tenx import Triplet, place, read_features, triplet_blocks
from benchmarks.data.readers.text_tables import Layout, read_table
from benchmarks.data.schema import Reading

COLUMNS = ("cell_barcode", "guide_identity", "gemgroup", "good_coverage", "number_of_cells")


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
        Guide identities → perturbation labels; missing leaves the cell out.
    how
        How those labels are written.

    Raises
    ------
    DataError
        The files are not of one run, are truncated, or have no usable label.
    """
    notes: list[str] = []
    cells = read_identities(files["identities"], label, how, notes)
    triplet = Triplet(files["barcodes"], files["genes"], files["matrix"])
    placed = place(triplet.barcodes, pd.Index(cells.index), notes)
    cells = cells.iloc[placed.order]
    obs = canonical_obs(Cells(cells["perturbation"], context, cells["gemgroup"]), str(files["identities"]))
    symbols, ids = read_features(triplet.features)
    genes = map_genes(symbols, triplet.features.name, ids, notes=notes)
    blocks = triplet_blocks(triplet, placed.rows, len(symbols))
    return Reading(canonical_blocks(blocks, Source(str(triplet.matrix), obs, genes, notes=notes)), notes=notes)


def read_identities(
    path: Path, label: Callable[[pd.Series], pd.Series], how: Labelling, notes: list[str]
) -> pd.DataFrame:
    """Read the droplets to keep, by barcode, with columns perturbation and gemgroup; raises as `read_identified`."""
    table = read_table(path, COLUMNS, Layout(sep=","), numbers=("number_of_cells",)).set_index("cell_barcode")
    good = (table["good_coverage"].str.casefold() == "true") & (table["number_of_cells"] == 1)
    named = name_perturbations(label(table.loc[good, "guide_identity"]), str(path), how, notes).dropna()
    known = list(named.unique())
    named = named.map(dict(zip(known, restore(known, path.name, notes=notes), strict=True)))
    notes.append(f"{path.name}: {len(named)} of {len(table)} droplets hold one cell and a guide seen well.")
    return table.loc[named.index, ["gemgroup"]].assign(perturbation=named)
