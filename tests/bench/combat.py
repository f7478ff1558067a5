"""What streamed ComBat costs: `python -m tests.bench.combat` (generated cells, block by block, never held together)."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.tasks.batch_correction.combat import fit

BLOCK = 4_000
DENSITY = 0.15
"""Share of genes detected in a cell."""


def blocks(n_cells: int, n_genes: int, n_batches: int) -> Iterator[tuple[AnnData, np.ndarray]]:
    """Cells whose batches are mixed in every block: each gene detected with the same chance, values log2-like."""
    generator = np.random.default_rng(0)
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    shifts = generator.uniform(0.0, 1.0, n_batches).astype(np.float32)
    filled = int(DENSITY * n_genes)
    for first in range(0, n_cells, BLOCK):
        n = min(BLOCK, n_cells - first)
        genes = np.sort(generator.integers(0, n_genes // filled, (n, filled)) + np.arange(filled) * (n_genes // filled))
        batches = generator.integers(0, n_batches, n)
        values = generator.exponential(1.0, (n, filled)).astype(np.float32) + shifts[batches][:, None]
        x = sp.csr_matrix((values.ravel(), genes.ravel(), np.arange(0, n * filled + 1, filled)), shape=(n, n_genes))
        obs = pd.DataFrame(index=[f"c{i}" for i in range(first, first + n)])
        yield AnnData(X=x, obs=obs, var=var), np.char.add("b", batches.astype(str))


def main() -> None:
    """Estimate, then correct every block, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=6_742)
    parser.add_argument("--batches", type=int, default=1_000)
    options = parser.parse_args()
    shape = (options.cells, options.genes, options.batches)
    start = time.process_time()  # CPU seconds, so that other work on the machine does not count
    for _ in blocks(*shape):
        pass
    made = time.process_time()
    parameters = fit(blocks(*shape), "b0")
    fitted = time.process_time()
    total = sum(float(parameters.apply(cells.X, batches).sum(dtype=np.float64)) for cells, batches in blocks(*shape))
    done = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    making = made - start
    print(f"{options.batches} batches × {options.cells} cells × {options.genes} genes, blocks of {BLOCK}")
    spent = f"fit {fitted - made - making:.1f} s; apply {done - fitted - making:.1f} s"
    print(f"CPU: make blocks {making:.1f} s; {spent} (both without making the blocks again)")
    print(f"peak memory {peak:.2f} GB; mean of the corrected values {total / options.cells / options.genes:.6f}")


if __name__ == "__main__":
    main()
