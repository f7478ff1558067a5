"""The annotation of simulated genes: modules as terms, some missing and some false."""

from __future__ import annotations

import numpy as np


def annotate(
    genes: tuple[str, ...], members: np.ndarray, rng: np.random.Generator, noise: float
) -> dict[str, frozenset[str]]:
    """Write out the modules as terms, a share of them missing and as many false; every gene keeps a true one."""
    kept = members & (rng.random(members.shape) >= noise)
    lost = ~kept.any(axis=1)
    kept[lost] = members[lost]
    false = ~members & (rng.random(members.shape) < noise * members.mean() / (1 - members.mean()))
    return {
        gene: frozenset(f"SIMM{m + 1:02d}" for m in np.flatnonzero(row))
        for gene, row in zip(genes, kept | false, strict=True)
    }
