"""Jost 2020, GSE132080: titrated knock-downs of 25 genes in K562 → canonical AnnData."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchmarks.data.readers.cell_identities import read_identified
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import Reading


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts; a gene's guides, strong and weak, are one perturbation."""
    return read_identified(files, "K562", gene_of, Labelling(controls=("neg",)))


def gene_of(identity: pd.Series) -> pd.Series:
    """Take the gene from an identity: "GENE_guide", "neg_ctrl_guide", or "*" where it is not known."""
    return identity.str.partition("_")[0]
