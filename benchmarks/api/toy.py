"""A small made-up screen, for examples and for a first try."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

PERTURBATIONS = ("G0", "G1", "G2", "G3+G4")


def toy_screen(n_cells: int = 40, n_controls: int = 80, n_genes: int = 60, *, seed: int = 0) -> AnnData:
    """Make up counts of two cell lines under four perturbations, each of which raises genes of its own.

    The cells are made by a formula: what is scored on them says nothing about a model. The conditions are the same for every
    seed, so that the cells of another seed are a nearly perfect prediction.

    Parameters
    ----------
    n_cells, n_controls
        Cells of each condition, and control cells of each line.
    n_genes
        Number of genes; at least 8.
    seed
        Seed of the counts.

    Returns
    -------
    AnnData
        Counts [cell, gene], CSR float32; `obs` has `perturbation` ("control" among them) and `context`.

    Examples
    --------
    >>> import benchmarks as cb
    >>> cb.toy_screen()
    AnnData object with n_obs × n_vars = 480 × 60
        obs: 'perturbation', 'context'
    """
    generator, place = np.random.default_rng(seed), np.arange(n_genes)
    base = np.random.default_rng(42).gamma(2.0, 2.0, size=n_genes) + 0.5
    blocks, labels = [], []
    for context in ("line_a", "line_b"):
        own = base * (1 + 0.3 * (context == "line_b") * (place % 3 == 0))
        for number, name in enumerate(("control", *PERTURBATIONS)):
            rate = own * np.where((name != "control") & (place * 4 // n_genes == number - 1), 2.5, 1.0)
            n = n_controls if name == "control" else n_cells
            blocks.append(generator.poisson(rate, size=(n, n_genes)))
            labels += [(name, context)] * n
    obs = pd.DataFrame(labels, columns=["perturbation", "context"], index=[f"cell{i}" for i in range(len(labels))])
    genes = pd.DataFrame(index=[f"G{i}" for i in range(n_genes)])
    return AnnData(X=sp.csr_matrix(np.vstack(blocks).astype(np.float32)), obs=obs, var=genes)
