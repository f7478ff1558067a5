"""Principal components of sparse cells, each cell taken relative to a mean profile of its group, without densifying."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, svds

from benchmarks.contract import CONTROL, Train


def control_means(train: Train) -> pd.DataFrame:
    """Mean training control of every context that has one: rows contexts, columns genes, float64."""
    obs, x = train.cells.obs, train.cells.X
    control = (obs["perturbation"] == CONTROL).to_numpy()
    contexts = obs["context"].astype(str).to_numpy()
    found = {
        context: np.asarray(x[control & (contexts == context)].mean(axis=0, dtype=np.float64)).ravel()
        for context in sorted(set(contexts[control]))
    }
    return pd.DataFrame.from_dict(found, orient="index", columns=train.cells.var_names)


def relative_cells(train: Train) -> tuple[sp.csr_matrix, pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Take the training cells whose context has training controls.

    Returns
    -------
    tuple
        Values [cell, gene] and obs of these cells, the contexts' mean controls [context, gene], and the row of the mean
        control of each cell [cell].
    """
    means, obs = control_means(train), train.cells.obs
    kept = obs["context"].isin(means.index).to_numpy()
    x = train.cells.X if kept.all() else train.cells.X[kept]
    return x, obs.loc[kept], means, means.index.get_indexer(obs.loc[kept, "context"].astype(str))


def components(
    x: sp.csr_matrix, means: np.ndarray, group: np.ndarray, n_components: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the leading principal components of x − means[group].

    Parameters
    ----------
    x
        Cells, sparse [cell, gene].
    means
        Mean profiles to subtract [group, gene].
    group
        Row of `means` of each cell [cell].
    n_components
        Most components; fewer where there are not as many cells or genes.
    seed
        Of the start vector.

    Returns
    -------
    tuple
        Scores [cell, component], singular values [component], falling, and loadings, orthonormal [component, gene].
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
