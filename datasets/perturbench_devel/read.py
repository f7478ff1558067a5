"""PerturBench's development file → canonical AnnData."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from benchmarks.data.readers.labels import canonical_obs
from benchmarks.data.schema import Reading, condition_name

CONTEXTS = {"k562": "K562"}


def read(files: Mapping[str, Path]) -> Reading:
    """Read cells of both studies; X holds ln(x + 1) of normalised counts, as upstream."""
    raw = read_h5ad(files["h5ad"])
    perturbation = raw.obs["perturbation"].astype(str).map(condition_name)
    context = raw.obs["cell_type"].astype(str).replace(CONTEXTS)
    obs = canonical_obs(str(files["h5ad"]), perturbation, context, raw.obs["dataset"].astype(str))
    return Reading([AnnData(X=raw.X.tocsr().astype(np.float32), obs=obs, var=pd.DataFrame(index=raw.var_names))])
