"""Jost 2020, GSE132080: titrated knock-downs of 25 genes in K562; a gene's guides, strong and weak, are one perturbation."""

from functools import partial

import pandas as pd

from benchmarks.data.readers.labels import Labelling
from benchmarks.data.readers.tenx import read_identified


def gene_of(identity: pd.Series) -> pd.Series:
    """Take the gene from an identity: "GENE_guide", "neg_ctrl_guide", or "*" where it is not known."""
    return identity.str.partition("_")[0]


read = partial(read_identified, context="K562", label=gene_of, how=Labelling(controls=("neg",)))
