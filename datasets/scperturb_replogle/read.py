"""scPerturb's copies of Replogle 2022, K562 essential and RPE1: raw counts, with the genes that both have."""

from functools import partial

from benchmarks.data.readers.h5ad import Keys, read_h5ads
from benchmarks.data.readers.labels import Labelling

KEYS = {
    file: Keys(
        perturbation="perturbation",
        context_name=line,
        batch="batch",
        prefix=f"{line}_",
        gene_ids="ensembl_id",
        labelling=Labelling(controls=("control", "non-targeting")),
    )
    for file, line in {"k562": "K562", "rpe1": "RPE1"}.items()
}
read = partial(read_h5ads, keys=KEYS)
