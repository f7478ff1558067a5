"""Replogle 2022: the essential-scale screens in K562 and RPE1, dense h5ad, with the genes that all given lines have."""

from functools import partial

from benchmarks.data.readers.h5ad import INDEX, Keys, read_h5ads
from benchmarks.data.readers.labels import Labelling

KEYS = {
    file: Keys(
        perturbation="gene",
        context_name=line,
        batch="gem_group",
        prefix=f"{line}_",
        genes="gene_name",
        gene_ids=INDEX,
        labelling=Labelling(controls=("non-targeting",)),
    )
    for file, line in {"k562": "K562", "rpe1": "RPE1"}.items()
}
read = partial(read_h5ads, keys=KEYS)
