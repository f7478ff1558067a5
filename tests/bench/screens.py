"""A stream of made-up cells of any number: counts of about a thousand genes a cell, in an order that has to be sorted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

CELLS_PER_BLOCK = 5_000
CELLS_PER_CONDITION = 100
CONTEXTS = 10
CONTROL_SHARE = 0.05


class Screen:
    """Cells of a screen, block by block; `seconds` is what making them has taken so far.

    Parameters
    ----------
    n_cells, n_genes
        Size of the screen.
    genes_per_cell
        Genes with a count in a cell, about.
    """

    def __init__(self, n_cells: int, n_genes: int, genes_per_cell: int) -> None:
        self.n_cells, self.n_genes, self.genes_per_cell = n_cells, n_genes, genes_per_cell
        self.seconds = 0.0

    def blocks(self) -> Iterator[AnnData]:
        """Make the cells; conditions come in random order."""
        rng = np.random.default_rng(0)
        perturbations = max(2, self.n_cells // CELLS_PER_CONDITION // CONTEXTS)
        names = np.array(["control", *(f"P{i:05d}" for i in range(perturbations))], dtype=object)
        contexts = np.array([f"line{i}" for i in range(CONTEXTS)], dtype=object)
        var = pd.DataFrame(index=pd.Index([f"G{i:05d}" for i in range(self.n_genes)], dtype=object))
        for start in range(0, self.n_cells, CELLS_PER_BLOCK):
            begun = time.perf_counter()
            n = min(CELLS_PER_BLOCK, self.n_cells - start)
            perturbation = names[1 + rng.integers(perturbations, size=n)]
            perturbation[rng.random(n) < CONTROL_SHARE] = "control"
            perturbation[:CONTEXTS], context = "control", contexts[rng.integers(CONTEXTS, size=n)]
            context[:CONTEXTS] = contexts[: len(context[:CONTEXTS])]
            obs = pd.DataFrame(
                {
                    "perturbation": perturbation,
                    "context": context,
                    "arm": "none",
                    "batch": np.where(rng.random(n) < 0.5, "run1", "run2"),
                    "control_group": context,
                    "dose": np.nan,
                    "is_control": perturbation == "control",
                },
                index=[f"cell{start + i}" for i in range(n)],
            )
            block = AnnData(X=self._counts(n, rng), obs=obs, var=var)
            self.seconds += time.perf_counter() - begun
            yield block

    def _counts(self, n: int, rng: np.random.Generator) -> sp.csr_matrix:
        """Counts of genes that lie a random number of genes apart, 1 to twice the mean distance less 1."""
        widest = max(1, 2 * self.n_genes // self.genes_per_cell - 1)
        gaps = rng.integers(1, widest + 1, size=(n, self.genes_per_cell), dtype=np.int32)
        place = gaps.cumsum(axis=1, dtype=np.int32) - 1
        inside = place < self.n_genes
        ends = np.concatenate([[0], inside.sum(axis=1).cumsum()])
        counts = rng.integers(1, 8, size=ends[-1], dtype=np.uint8).astype(np.float32)
        return sp.csr_matrix((counts, place[inside], ends), shape=(n, self.n_genes))
