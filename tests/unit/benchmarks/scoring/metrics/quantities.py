"""Random quantities of every kind, as the harness hands them to the metrics."""

from __future__ import annotations

from typing import get_args

import numpy as np

from benchmarks.scoring.metrics.metric import Quantity

DISTANCES = ("e_distance", "mmd_rbf", "wasserstein")
GENE_WISE = [name for name in get_args(Quantity) if name not in {"own_gene", "margin_bound", *DISTANCES}]
ORACLE = {
    "predicted": "truth",
    "delta_hat": "delta",
    "delta_hat_shared": "delta_shared",
    "delta_hat_centred": "delta_centred",
    "significant_hat": "significant",
    "lfc_hat": "lfc",
    "p_hat": "p",
}
"""What each predicted quantity is when the truth itself is the prediction."""


def draw(kind: str, n_conditions: int, n_genes: int, seed: int) -> dict[str, np.ndarray]:
    """Draw all quantities: "normal" without ties, "ties" on a coarse grid, "flat" with a constant change."""
    generator = np.random.default_rng(seed)
    shape = (n_conditions, n_genes)

    def values() -> np.ndarray:
        drawn = generator.normal(size=shape)
        return drawn if kind == "normal" else np.round(drawn)

    found = {name: values() for name in ("truth", "predicted", "start", "reference", "lfc", "lfc_hat")}
    if kind == "flat":
        found["predicted"] = found["start"] + 1.0
    shared, effect = values()[:1], values()[:1]
    found["delta"] = found["truth"] - found["reference"]
    found["delta_hat"] = found["predicted"] - found["start"]
    found["delta_shared"], found["delta_hat_shared"] = found["truth"] - shared, found["predicted"] - shared
    found["delta_centred"], found["delta_hat_centred"] = found["delta"] - effect, found["delta_hat"] - effect
    for side in ("", "_hat"):
        p = generator.random(shape) ** 3
        found[f"p{side}"] = p if kind == "normal" else np.round(p, 1)  # zeros and ties among them
        found[f"significant{side}"] = found[f"p{side}"] < 0.45
    found["own_gene"] = generator.integers(-1, n_genes, n_conditions)
    found["other_genes"] = np.arange(n_genes) != found["own_gene"][:, None]
    for name in ("significant", "significant_hat"):
        found[name] &= found["other_genes"]
    for k in (20, 50, 100):
        found[f"top{k}"] = _top(found["significant"], found["lfc"], k)
    found["margin_bound"] = generator.normal(size=n_conditions)
    for name in DISTANCES:
        found[name] = np.abs(generator.normal(size=n_conditions))
    return found


def _top(significant: np.ndarray, lfc: np.ndarray, k: int) -> np.ndarray:
    mask = np.zeros_like(significant)
    for row in np.flatnonzero(significant.sum(axis=1) >= k):
        genes = np.flatnonzero(significant[row])
        mask[row, genes[np.argsort(-np.abs(lfc[row, genes]), kind="stable")[:k]]] = True
    return mask
