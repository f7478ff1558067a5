"""Real CROP-seq counts, joined with guide calls by the user into one h5ad → canonical AnnData."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData, read_h5ad

from benchmarks.canonical import Reading, condition_name
from benchmarks.contract import CONTROL
from benchmarks.errors import DataError

COLUMNS = ("perturbation", "context", "arm", "batch")


def read(files: Mapping[str, Path]) -> Reading:
    """Read raw counts and the four columns the card asks for; everything else is derived."""
    raw = read_h5ad(files["h5ad"])
    missing = [c for c in COLUMNS if c not in raw.obs]
    if missing:
        raise DataError(
            f"{files['h5ad']}: obs lacks {', '.join(missing)}; it has {', '.join(raw.obs.columns)}. "
            f"Add the columns {', '.join(COLUMNS)}."
        )
    text = raw.obs[list(COLUMNS)].astype(str)
    obs = text.assign(
        perturbation=text["perturbation"].map(condition_name),
        dose=np.nan,
        control_group=text["context"] + "|" + text["arm"],
    )
    obs["is_control"] = obs["perturbation"] == CONTROL
    x = sp.csr_matrix(raw.X, dtype=np.float32)
    return Reading([AnnData(X=x, obs=obs, var=pd.DataFrame(index=raw.var_names))])
