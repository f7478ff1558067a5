"""Dufva 2023: a 10x triplet and a table of guide reads per line and arm → canonical AnnData.

A cell's knock-out is called as the authors do (cropseq/makeobject_*.R of their repository): one gene has more than half of
the cell's guide UMIs and more than 10, and no other gene has more than a tenth of them and more than 10.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.data.readers.blocks import canonical_blocks
from benchmarks.data.readers.gene_columns import GeneMap, map_genes, restore, share
from benchmarks.data.readers.labels import canonical_obs, tell_missing
from benchmarks.data.readers.tenx import Triplet, place, read_features, triplet_blocks
from benchmarks.data.readers.text_tables import read_table
from benchmarks.data.schema import Reading
from benchmarks.errors import DataError

RUN = re.compile(r"(?P<line>[^_]+)_(?P<arm>noNK|NK1_1_4|NK1_1_16)_matrix")
ARMS = {"noNK": "noNK", "NK1_1_16": "NK_1_16", "NK1_1_4": "NK_1_4"}
"""The files' arms → ours; 1_16 is one NK cell to 16 target cells."""
MIN_UMIS, FIRST_SHARE, SECOND_SHARE = 10, 0.5, 0.1
GENES_DETECTED, COUNTS, MITO, RIBO = (300, 10_000), (3_000, 500_000), (0.0, 0.10), (0.05, 0.50)
"""Cells the authors keep (getQC in scrnaseq/fun_helper.R): genes, counts, shares of genes MT-* and of genes RP*."""
BARCODE = re.compile(r"([ACGTN]{8,})(?:-\d+)?$")


@dataclass(frozen=True)
class Run:
    """One line in one arm, its cells with a call found in the matrix."""

    line: str
    arm: str
    triplet: Triplet
    rows: np.ndarray
    """Place of each barcode of the file among the called cells, −1 for none."""
    called: pd.Series
    """Perturbation of the called cells in the order of the matrix, by cell name."""
    genes: GeneMap


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts of every run in `files`, with the genes that all runs have."""
    notes: list[str] = []
    keys = [m for m in map(RUN.fullmatch, sorted(files)) if m]
    runs = [open_run(files, m["line"], m["arm"], notes) for m in keys]
    genes = share([run.genes for run in runs], notes)
    called = pd.concat([run.called for run in runs])
    each = [len(run.called) for run in runs]
    obs = canonical_obs(
        "cropseq",
        called,
        context=pd.Series(np.repeat([run.line for run in runs], each)),
        batch=pd.Series(np.repeat([f"{run.line}_{run.arm}" for run in runs], each)),
        arm=pd.Series(np.repeat([ARMS[run.arm] for run in runs], each)),
    )
    return Reading(passing(read_runs(runs, genes, obs, notes), notes), notes=notes)


def open_run(files: Mapping[str, Path], line: str, arm: str, notes: list[str]) -> Run:
    """Call the guides of one run and find the called cells among its barcodes."""
    name = f"{line}_{arm}"
    triplet = Triplet(*(files[f"{name}_{part}"] for part in ("barcodes", "features", "matrix")))
    calls = call_guides(files[f"{name}_sgRNA"], files[f"{line}_library"], notes)
    rows, order = place(triplet.barcodes, pd.Index(calls.index), notes, bare)
    called = calls.iloc[order]
    called.index = [f"{name}_{barcode}" for barcode in called.index]
    symbols, ids = read_features(triplet.features)
    return Run(line, arm, triplet, rows, called, map_genes(symbols, triplet.features.name, ids, notes=notes))


def read_runs(runs: list[Run], genes: list[GeneMap], obs: pd.DataFrame, notes: list[str]) -> Iterator[AnnData]:
    """Read the runs one after another."""
    start = 0
    for run, shared in zip(runs, genes, strict=True):
        part = obs.iloc[start : start + len(run.called)]
        start += len(part)
        blocks = triplet_blocks(run.triplet, run.rows, len(shared.column))
        yield from canonical_blocks(blocks, part, shared, str(run.triplet.matrix), notes=notes)


def call_guides(path: Path, library: Path, notes: list[str]) -> pd.Series:
    """Call one perturbation per cell: gene or "control", by its bare barcode; cells without a call are left out.

    Parameters
    ----------
    path
        Reads per cell and guide sequence (cell, barcode, umi_count), as get_barcodes.py of the Shendure lab writes them.
    library
        Guide sequence → gene (sequence, gene).
    """
    guides = read_table(library, ("sequence", "gene"))
    targets = [CONTROL if "control" in gene.casefold() else gene for gene in guides["gene"].astype(str)]
    gene_of = pd.Series(restore(targets, library.name, notes=notes), index=guides["sequence"])
    reads = read_table(path, ("cell", "barcode", "umi_count"), numbers=("umi_count",))
    reads = reads.assign(gene=reads["barcode"].map(gene_of[~gene_of.index.duplicated()]), cell=bare(reads["cell"]))
    umis = reads.dropna(subset="gene").groupby(["cell", "gene"], as_index=False)["umi_count"].sum()
    umis = umis.sort_values(["cell", "umi_count"], ascending=[True, False], kind="stable")
    total = umis.groupby("cell")["umi_count"].sum()
    first, second = (umis.groupby("cell").nth(i).set_index("cell") for i in (0, 1))
    rival = second["umi_count"].reindex(first.index, fill_value=0)
    alone = (first["umi_count"] > MIN_UMIS) & (first["umi_count"] > FIRST_SHARE * total)
    several = (rival > MIN_UMIS) & (rival > SECOND_SHARE * total)
    called = first.loc[alone & ~several, "gene"]
    if called.empty:
        raise DataError(
            f"{path}: none of {reads['cell'].nunique()} cells has a guide call with {library.name}. Are both files of "
            "this line, and are the sequences written alike?"
        )
    notes.append(
        f"{path.name}: {len(called)} of {reads['cell'].nunique()} cells have one perturbation; {int(several.sum())} have several."
    )
    tell_missing(gene_of, called, path.name, notes)
    return called


def bare(barcodes: pd.Series) -> pd.Series:
    """Take the nucleotides alone: the files have them with and without the run's name before and "-1" behind."""
    return barcodes.astype(str).str.extract(BARCODE, expand=False)


def passing(blocks: Iterable[AnnData], notes: list[str]) -> Iterator[AnnData]:
    """Keep the cells that the authors keep, by genes detected, counts, mitochondrial and ribosomal share."""
    seen, kept = 0, 0
    for block in blocks:
        counts = np.asarray(block.X.sum(axis=1)).ravel()
        good = pd.Series(np.diff(block.X.indptr)).between(*GENES_DETECTED) & pd.Series(counts).between(*COUNTS)
        for prefix, limits in (("MT-", MITO), ("RP", RIBO)):
            genes = block.var_names.str.startswith(prefix)
            good &= pd.Series(np.asarray(block.X[:, genes].sum(axis=1)).ravel() / counts).between(*limits)
        seen, kept = seen + len(good), kept + int(good.sum())
        if good.any():
            yield block[good.to_numpy()].copy()
    if not kept:
        raise DataError(f"cropseq: none of {seen} called cells passes the authors' limits; are these raw counts?")
    notes.append(f"cropseq: {kept} of {seen} called cells pass the authors' limits of quality.")
