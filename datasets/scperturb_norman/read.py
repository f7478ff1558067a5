"""scPerturb's copy of Norman 2019: raw counts of single and double activations → canonical AnnData."""

from functools import partial

from benchmarks.data.readers.h5ad import Keys, read_h5ads
from benchmarks.data.readers.labels import Labelling

KEYS = Keys(
    perturbation="perturbation",
    context_name="K562",
    batch="gemgroup",
    gene_ids="ensemble_id",  # their spelling
    labelling=Labelling(separator="_", controls=("control",)),
)
read = partial(read_h5ads, keys={"h5ad": KEYS})
