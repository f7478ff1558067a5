"""Norman 2019, GSE133344: pairs of activating guides in K562 → canonical AnnData."""

from functools import partial

import pandas as pd

from benchmarks.data.readers.labels import Labelling
from benchmarks.data.readers.tenx import read_identified

LEFT_OUT = "NegCtrl1_NegCtrl0"
"""A pair of control guides that the field leaves out; see the card."""


def pair_of(identity: pd.Series) -> pd.Series:
    """Take the pair from an identity: "A_B__A_B" is A_B; a control guide is NegCtrl with a number."""
    pair = identity.str.partition("__")[0]
    return pair.mask(pair == LEFT_OUT)


read = partial(read_identified, context="K562", label=pair_of, how=Labelling(separator="_"))
