"""Replogle 2022: the essential-scale screens in K562 and RPE1, dense h5ad → canonical AnnData."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from anndata import AnnData

from benchmarks.data.readers.gene_columns import share
from benchmarks.data.readers.h5ad import INDEX, H5ad, Keys, h5ad_blocks, open_h5ad
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import Reading

LINES = {"k562": "K562", "rpe1": "RPE1"}
"""Keys of the files → contexts."""


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts of every line in `files`, with the genes that all of them have."""
    return read_screens(files, "counts")


def read_screens(files: Mapping[str, Path], space: str) -> Reading:
    """Read the screens, values in `space`."""
    notes: list[str] = []
    opened = [open_h5ad(path, keys(LINES[key]), space, notes) for key, path in files.items()]
    return Reading(blocks(opened, notes), notes=notes)


def keys(line: str) -> Keys:
    """Say where the labels of one line are."""
    return Keys(
        perturbation="gene",
        context_name=line,
        batch="gem_group",
        prefix=f"{line}_",
        genes="gene_name",
        gene_ids=INDEX,
        labelling=Labelling(controls=("non-targeting",)),
    )


def blocks(opened: list[H5ad], notes: list[str]) -> Iterator[AnnData]:
    """Read the screens one after another."""
    genes = share([screen.source.genes for screen in opened], notes)
    for screen, shared in zip(opened, genes, strict=True):
        yield from h5ad_blocks(screen, shared)
