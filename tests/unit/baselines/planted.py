"""Training cells with planted effects, for tests of the simple predictors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import CONTROL, Direction, Query, Train

Profiles = Mapping[tuple[str, str], list[float] | np.ndarray]


def cells_of(
    profiles: Profiles, n_cells: int = 4, noise: float = 0.0, genes: tuple[str, ...] = (), seed: int = 0
) -> AnnData:
    """Cells around the mean profile of each (context, perturbation), log2 units."""
    rng = np.random.default_rng(seed)
    labels = [key for key in profiles for _ in range(n_cells)]
    means = np.repeat(np.array(list(profiles.values()), dtype=float), n_cells, axis=0)
    context, perturbation = (np.array(column) for column in zip(*labels, strict=True))
    obs = pd.DataFrame(
        {
            "perturbation": perturbation,
            "context": context,
            "arm": "none",
            "dose": np.nan,
            "batch": "b1",
            "control_group": context,
            "is_control": perturbation == CONTROL,
        },
        index=[f"cell{i}" for i in range(len(labels))],
    )
    x = (means + rng.normal(0, noise, means.shape)).astype(np.float32)
    names = list(genes) or [f"g{i}" for i in range(means.shape[1])]
    return AnnData(sp.csr_matrix(x), obs=obs, var=pd.DataFrame(index=names))


def train_of(cells: AnnData, annotation: Mapping[str, frozenset[str]] | None = None, kind: str = "CRISPR") -> Train:
    """What `fit` gets of these cells."""
    return Train(cells, "log2_cp10k", kind, annotation or {})


def query_of(
    profile: list[float] | np.ndarray, context: str, perturbation: str, direction: Direction = "n2p", **cells: object
) -> Query:
    """Ask for a perturbation, of cells around a profile; none of them is a training cell."""
    start = CONTROL if direction == "n2p" else perturbation
    return Query(context, perturbation, direction, cells_of({(context, start): profile}, **{"seed": 1} | cells), seed=1)  # type: ignore[arg-type]
