"""A small screen with known effects, for tests of scoring."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.tasks.splits import Split, TestCondition

N_GENES = 60
PERTURBATIONS = ("G0", "G1", "G2", "G3+G4")


def screen(
    n_cells: int = 60, n_controls: int = 120, *, contexts: tuple[str, ...] = ("A", "B"), seed: int = 0
) -> ad.AnnData:
    """Counts of cells with a strong effect of every perturbation on genes of its own; log2(CP10k + 1), sparse."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(42).gamma(2.0, 2.0, size=N_GENES) + 0.5
    blocks, labels = [], []
    for number, context in enumerate(contexts):
        for place, name in enumerate(("control", *PERTURBATIONS)):
            rate = base * (1 + 0.3 * number * (np.arange(N_GENES) % 3 == 0))
            if name != "control":
                rate = rate.copy()
                rate[(place - 1) * 14 : (place - 1) * 14 + 14] *= 2.5
            n = n_controls if name == "control" else n_cells
            blocks.append(rng.poisson(rate, size=(n, N_GENES)))
            labels += [(context, name)] * n
    counts = np.vstack(blocks).astype(np.float64)
    x = np.log2(counts * 1e4 / counts.sum(axis=1, keepdims=True) + 1)
    obs = pd.DataFrame(labels, columns=["context", "perturbation"]).astype(str)
    obs["is_control"] = obs["perturbation"] == "control"
    obs.index = [f"c{i}" for i in range(len(obs))]
    return ad.AnnData(
        X=sp.csr_matrix(x.astype(np.float32)), obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(N_GENES)])
    )


def fold(cells: ad.AnnData, tested: str = "A", seed: int = 0) -> Split:
    """All perturbations of one context tested; the other context and a third of the controls are training cells."""
    rng = np.random.default_rng(seed)
    obs = cells.obs
    where = {key: np.asarray(rows) for key, rows in obs.groupby(["context", "perturbation"]).indices.items()}
    thirds = np.array_split(rng.permutation(where[tested, "control"]), 3)
    conditions = []
    for name in PERTURBATIONS:
        a, b = np.array_split(rng.permutation(where[tested, name]), 2)
        conditions.append(TestCondition(tested, name, np.sort(thirds[0]), np.sort(thirds[1]), np.sort(a), np.sort(b)))
    others = np.flatnonzero((obs["context"] != tested).to_numpy())
    train = np.sort(np.concatenate([others, thirds[2]]))
    held = frozenset((tested, name) for name in PERTURBATIONS)
    return Split("unseen_context", 0, False, train, tuple(conditions), held)
