"""Principal components of sparse cells, each cell taken relative to the mean control of its context, without densifying."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, svds

from baselines.shared.effects import control_means
from benchmarks.contract import Train


def relative_cells(train: Train) -> tuple[sp.csr_matrix, pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Take the training cells whose context has training controls.

    Returns their values [cell, gene] and obs, the contexts' mean controls [context, gene], and each cell's row in these.
    """
    means, obs = control_means(train), train.cells.obs
    kept = obs["context"].isin(means.index).to_numpy()
    x = train.cells.X if kept.all() else train.cells.X[kept]
    return x, obs.loc[kept], means, means.index.get_indexer(obs.loc[kept, "context"].astype(str))


def components(
    x: sp.csr_matrix, means: np.ndarray, group: np.ndarray, n_components: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the leading principal components of x − means[group]; `seed` draws the start vector.

    Returns scores [cell, component], singular values [component], falling, and loadings, orthonormal [component, gene];
    fewer than `n_components` where there are not as many cells or genes.
    """
    x = x.astype(np.float64)
    member = sp.csr_matrix((np.ones(len(group)), (np.arange(len(group)), group)), shape=(len(group), len(means)))
    centred = LinearOperator(
        x.shape,
        matvec=lambda v: x @ v.ravel() - member @ (means @ v.ravel()),
        rmatvec=lambda u: x.T @ u.ravel() - means.T @ (member.T @ u.ravel()),
        dtype=np.float64,
    )
    k = min(n_components, min(x.shape) - 1)
    start = np.random.default_rng(seed).standard_normal(min(x.shape))
    left, values, right = svds(centred, k=k, v0=start)
    order = np.argsort(-values, kind="stable")
    return left[:, order] * values[order], values[order], right[order]
