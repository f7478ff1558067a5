"""scPerturb's copy of Norman 2019 → canonical AnnData."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.data.readers.h5ad import Keys, read_h5ad_blocks
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import Reading

KEYS = Keys(
    perturbation="perturbation",
    context_name="K562",
    batch="gemgroup",
    gene_ids="ensemble_id",  # their spelling
    labelling=Labelling(separator="_", controls=("control",)),
)


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts of single and double activations."""
    notes: list[str] = []
    return Reading(read_h5ad_blocks(files["h5ad"], KEYS, notes=notes), notes=notes)
