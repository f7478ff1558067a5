"""Raw counts around expected profiles: log-normal depth, negative binomial counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from benchmarks.data.simulation.network import Network

CELLS_PER_BLOCK = 1000


@dataclass(frozen=True)
class Rows:
    """Where each cell's expected profile lies in `Network.profiles`, one entry per cell."""

    context: Int[np.ndarray, "cell"]
    arm: Int[np.ndarray, "cell"]
    state: Int[np.ndarray, "cell"]
    replicate: Int[np.ndarray, "cell"]


def draw_counts(network: Network, rows: Rows, rng: np.random.Generator, depth_sd: float) -> sp.csr_matrix:
    """Draw raw counts [cell, gene]: log-normal depth, negative binomial (gamma-Poisson) around the expected profile."""
    blocks = []
    for start in range(0, len(rows.state), CELLS_PER_BLOCK):
        context, arm, state, replicate = (
            r[start : start + CELLS_PER_BLOCK] for r in (rows.context, rows.arm, rows.state, rows.replicate)
        )
        depth = network.depth[context] * np.exp(depth_sd * rng.standard_normal(len(state)))
        dispersion = network.dispersion[context]
        mean = depth[:, None] * network.profiles[context, arm, state, replicate]
        mean *= dispersion * rng.standard_gamma(1 / dispersion)
        blocks.append(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    return sp.vstack(blocks, format="csr")
