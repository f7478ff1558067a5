"""Norman 2019, GSE133344: pairs of activating guides in K562 → canonical AnnData."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchmarks.data.readers.cell_identities import read_identified
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import Reading

LEFT_OUT = "NegCtrl1_NegCtrl0"
"""A pair of control guides that the field leaves out; see the card."""


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts of single and double activations."""
    return read_identified(files, "K562", pair_of, Labelling(separator="_"))


def pair_of(identity: pd.Series) -> pd.Series:
    """Take the pair from an identity: "A_B__A_B" is A_B; a control guide is NegCtrl with a number."""
    pair = identity.str.partition("__")[0]
    return pair.mask(pair == LEFT_OUT)
