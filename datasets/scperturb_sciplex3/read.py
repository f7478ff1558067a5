"""scPerturb's copy of sci-Plex 3: raw counts of human genes; cells whose compound is not known are left out."""

from functools import partial

from benchmarks.data.readers.h5ad import Keys, read_h5ads
from benchmarks.data.readers.labels import Labelling

KEYS = Keys(
    perturbation="perturbation",
    context="cell_line",
    batch="replicate",
    arm="time",
    arm_unit="h",
    dose="dose_value",
    gene_ids="ensembl_id",
    id_prefix="ENSG",
    labelling=Labelling(controls=("control",), genes=False),
)
read = partial(read_h5ads, keys={"h5ad": KEYS})
