"""scGen's copy of Kang 2018 → canonical AnnData."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from benchmarks.contract import CONTROL
from benchmarks.data.readers.labels import canonical_obs
from benchmarks.data.schema import Reading

LABELS = {"control": CONTROL, "stimulated": "IFN-beta"}


def read(files: Mapping[str, Path]) -> Reading:
    """Read the cells; X holds ln(x + 1) of normalised counts, as upstream."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Moving element from .uns", FutureWarning)  # the file's old layout
        raw = read_h5ad(files["h5ad"])
    perturbation = raw.obs["condition"].astype(str).map(LABELS)
    obs = canonical_obs(str(files["h5ad"]), perturbation, raw.obs["cell_type"].astype(str), "GSE96583")
    return Reading([AnnData(X=raw.X.tocsr().astype(np.float32), obs=obs, var=pd.DataFrame(index=raw.var_names))])
