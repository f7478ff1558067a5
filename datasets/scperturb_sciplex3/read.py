"""scPerturb's copy of sci-Plex 3 → canonical AnnData."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.data.readers.h5ad import Keys, read_h5ad_blocks
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import Reading

KEYS = Keys(
    perturbation="perturbation",
    context="cell_line",
    batch="replicate",
    arm="time",
    arm_unit="h",
    dose="dose_value",
    gene_ids="ensembl_id",
    id_prefix="ENSG",
    labelling=Labelling(controls=("control",)),
    perturbs_genes=False,
)


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts of human genes; cells whose compound is not known are left out."""
    notes: list[str] = []
    return Reading(read_h5ad_blocks(files["h5ad"], KEYS, notes=notes), notes=notes)
