"""The truth behind simulated cells: expected log2(CP10k + 1), integrated from the model, and the annotation of the genes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

SCALE = 1e4
"""Counts a cell is scaled to before the logarithm."""


def expect_log2(
    profile: Float[np.ndarray, "gene"], dispersion: Float[np.ndarray, "gene"], depth: float, depth_sd: float
) -> Float[np.ndarray, "gene"]:
    """Integrate the expected log2(CP10k + 1) of cells with one expected profile, the random total included.

    With a = 10,000 and S the cell's total, 1 + a X/S = (S + a X)/S, and E ln of a positive sum Z is an integral of its
    Laplace transform, ln z = ∫ (e^−t − e^−tz) dt/t. So, given the depth,

        E ln(1 + a X_g/S) = ∫ M_S(t) · (1 − M_g((1 + a) t) / M_g(t)) dt/t,    M_S = Π_j M_j,

    where M_g(t) = (1 + φ_g m_g (1 − e^−t))^(−1/φ_g) is a negative binomial's transform. Trapezoids in ln t and
    Gauss-Hermite nodes in ln depth; the error is below 1e-5. The profile is the expected share of the counts (sums to 1),
    depth the median counts of a cell, `depth_sd` the standard deviation of ln depth.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    step = 0.5
    grid = np.exp(np.arange(-20, 4, step))[:, None]  # t × depth, against gene
    total = np.zeros_like(profile)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        counts = depth * np.exp(depth_sd * node)
        t = grid / counts
        near = -np.log1p(-dispersion * counts * profile * np.expm1(-t)) / dispersion  # ln M_g(t)
        far = -np.log1p(-dispersion * counts * profile * np.expm1(-(1 + SCALE) * t)) / dispersion
        total += weight * step * (np.exp(near.sum(axis=1, keepdims=True)) * (1 - np.exp(far - near))).sum(axis=0)
    return total / np.log(2)


def expect_conditions(
    profiles: Float[np.ndarray, "state replicate gene"],
    escape: Float[np.ndarray, "condition"],
    dispersion: Float[np.ndarray, "gene"],
    depth: float,
    depth_sd: float,
) -> Float[np.ndarray, "1+condition gene"]:
    """Expected log2(CP10k + 1) of control and of every condition, over replicates, escaped and other cells.

    States of `profiles` are control, escaped cells, then the conditions; `escape` is the share of a condition's cells
    that escape.
    """
    noise = (dispersion, depth, depth_sd)
    states = np.stack([np.mean([expect_log2(profile, *noise) for profile in state], axis=0) for state in profiles])
    share = escape[:, None]
    return np.concatenate([states[:1], (1 - share) * states[2:] + share * states[1]])


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
