"""scPerturb's copies of Replogle 2022, K562 essential and RPE1 → canonical AnnData."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.data.readers.h5ad import Keys, open_h5ad
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import Reading
from benchmarks.data.sources import load_reader


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts of both lines, with the genes that both have."""
    notes: list[str] = []
    original = load_reader("replogle")
    opened = [open_h5ad(path, keys(original.LINES[key]), notes=notes) for key, path in files.items()]
    return Reading(original.blocks(opened, notes), notes=notes)


def keys(line: str) -> Keys:
    """Say where the labels of one line are."""
    return Keys(
        perturbation="perturbation",
        context_name=line,
        batch="batch",
        prefix=f"{line}_",
        gene_ids="ensembl_id",
        labelling=Labelling(controls=("control", "non-targeting")),
    )
