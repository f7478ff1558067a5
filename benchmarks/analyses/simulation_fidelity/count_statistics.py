"""Statistics of the counts of control cells (mean, variance, detection, depth), and the bands that simulated cells lie in.

Values that come as ln(CP10k + 1) are turned back into counts: a cell's smallest value belongs to one count, and all others
are whole multiples of it. Cells where that does not hold are left out and counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from benchmarks.data.dataset import Dataset
from benchmarks.data.expression_space import TARGET_SUM
from benchmarks.errors import DataError

WHOLE = 0.01
"""Largest distance from a whole number that a restored count may have."""
BINS = ((0.1, 0.3), (0.3, 1.0), (1.0, 3.0), (3.0, 10.0))
"""Ranges of mean count that genes are compared in: at one mean, panels of different genes can be."""
SAME_CELLS = 100
"""Cells that a spread over genes is estimated from, in every context: it holds the estimates' own noise."""
LEAST_GENES = 5
"""A range with fewer genes says nothing."""
_REAL = (
    ("sd_ln_depth", 0.28, 0.66, 0.05),
    ("sd_ln_mean", 0.80, 1.81, 0.10),
    ("detected_0.1_0.3", 0.12, 0.16, 0.03),
    ("detected_0.3_1", 0.27, 0.34, 0.06),
    ("detected_1_3", 0.53, 0.65, 0.06),
    ("detected_3_10", 0.72, 0.94, 0.03),
    ("dispersion_0.3_1", 0.37, 1.41, 0.10),
    ("dispersion_1_3", 0.37, 1.33, 0.10),
    ("variance_by_mean_1_3", 1.8, 5.6, 0.2),
    ("dispersion_spread_1_10", 0.71, 1.03, 0.15),  # the three gliomas alone
)
"""Statistic, lowest and highest value of six populations of real control cells, and how far beyond simulated ones may lie.

The populations are the four lines of PerturBench's development file (Norman et al. 2019, K562; McFaline-Figueroa et al.
2024, three gliomas; counts restored; measured by this package) and, of Kang et al. 2018, CD4 T cells and monocytes
(datasets/cropseq_simulated/README.md).
"""
BANDS = {statistic: (low - margin, high + margin) for statistic, low, high, margin in _REAL}
"""Statistic → lower and upper end."""


@dataclass(frozen=True)
class Counts:
    """Control cells of one context as counts."""

    matrix: sp.csr_matrix
    """Counts of the panel [cell, gene]."""
    depth: Float[np.ndarray, "cell"]
    """All counts of a cell: of the whole library where the values were restored, else of the panel."""
    left_out: int
    """Cells that could not be turned back into counts."""


@dataclass(frozen=True)
class GeneTable:
    """Controls of one context [gene]: mean, variance and share of cells with a count; depth's part in the variance included.

    `dispersion` is the negative binomial's at known depth, by moments; it may be negative for genes of few counts.
    """

    mean: np.ndarray
    variance: np.ndarray
    detected: np.ndarray
    dispersion: np.ndarray


def control_counts(dataset: Dataset, context: str) -> Counts:
    """Take a context's control cells (of `first_arm`) as counts; raises `DataError` where they cannot be restored."""
    obs = dataset.cells.obs
    chosen = obs["is_control"] & (obs["context"] == context) & (obs["arm"] == first_arm(dataset))
    x = dataset.cells.X[np.flatnonzero(chosen)].astype(np.float64)
    if dataset.card.space == "counts":
        return Counts(x, np.asarray(x.sum(axis=1)).ravel(), 0)
    if dataset.card.space not in ("ln", "log2"):
        raise DataError(
            f"{dataset.card.name} comes as '{dataset.card.space}'; counts can be restored from 'ln' and 'log2' only."
        )
    return restore(x, base=math.e if dataset.card.space == "ln" else 2.0)


def first_arm(dataset: Dataset) -> str:
    """Name the arm that is compared: noNK where cells were exposed in another, else the only one."""
    arms = sorted(set(dataset.cells.obs["arm"]))
    return "noNK" if "noNK" in arms else arms[0]


def restore(values: sp.csr_matrix, base: float = math.e) -> Counts:
    """Turn log_base(CP10k + 1) back into counts and library sizes; only cells whose counts come out whole are kept.

    A cell's smallest value above 0 is taken for one count; its library is 10,000 divided by that value, which is a whole
    number too if the values were scaled to 10,000.
    """
    x = values[np.diff(values.indptr) > 0].copy()
    x.data = np.expm1(x.data * math.log(base))
    one = np.minimum.reduceat(x.data, x.indptr[:-1])
    x.data /= np.repeat(one, np.diff(x.indptr))
    error = np.maximum.reduceat(np.abs(x.data - np.rint(x.data)), x.indptr[:-1])
    x.data = np.rint(x.data)
    kept = error <= WHOLE
    return Counts(x[kept], (TARGET_SUM / one)[kept], values.shape[0] - int(kept.sum()))


def gene_table(counts: Counts) -> GeneTable:
    """Work out each gene's mean, variance, detection and dispersion over cells."""
    x, n = counts.matrix, counts.matrix.shape[0]
    mean = np.asarray(x.mean(axis=0)).ravel()
    squares = np.asarray(x.multiply(x).mean(axis=0)).ravel()
    detected = np.asarray((x > 0).mean(axis=0)).ravel()
    share = mean * n / counts.depth.sum()
    # Σ (x − d p)² = Σ x² − 2 p Σ d x + p² Σ d²; over Poisson's Σ d p, in units of Σ (d p)²
    residual = squares * n - 2 * share * np.asarray(counts.depth @ x).ravel() + share**2 * np.square(counts.depth).sum()
    excess = residual - share * counts.depth.sum()
    expected = share**2 * np.square(counts.depth).sum()
    dispersion = np.divide(excess, expected, out=np.full(len(mean), np.nan), where=expected > 0)
    return GeneTable(mean, (squares - mean**2) * n / max(1, n - 1), detected, dispersion)


def first_cells(counts: Counts) -> Counts:
    """Take `SAME_CELLS` cells, so that two contexts are looked at with the same noise."""
    return Counts(counts.matrix[:SAME_CELLS], counts.depth[:SAME_CELLS], counts.left_out)


def summary(counts: Counts) -> pd.Series:
    """Summarise a context's control cells in numbers that panels of different genes can be compared by.

    Returns
    -------
    pd.Series
        Cells, genes, depths and their spread; in each range of mean counts the median over genes of detection,
        dispersion and variance / mean (NaN where the range has fewer than five genes); `dispersion_spread_1_10`, ln of
        the ratio of the quartiles over genes of mean 1 to 10, estimated from 100 cells.
    """
    genes = gene_table(counts)
    values = {
        "cells": counts.matrix.shape[0],
        "cells_left_out": counts.left_out,
        "genes": counts.matrix.shape[1],
        "median_depth": np.median(counts.depth),
        "median_panel_counts": np.median(np.asarray(counts.matrix.sum(axis=1)).ravel()),
        "sd_ln_depth": np.log(counts.depth).std(),
        "sd_ln_mean": np.log(genes.mean[genes.mean > 0]).std(),
        "entries_detected": genes.detected.mean(),
    }
    columns = {
        "detected": genes.detected,
        "dispersion": genes.dispersion,
        "variance_by_mean": genes.variance / np.maximum(genes.mean, 1e-12),
    }
    for low, high in BINS:
        chosen = (genes.mean > low) & (genes.mean <= high)
        enough = chosen.sum() >= LEAST_GENES
        for name, value in columns.items():
            values[f"{name}_{low:g}_{high:g}"] = np.median(value[chosen]) if enough else math.nan
    values["dispersion_spread_1_10"] = _spread(gene_table(first_cells(counts)))
    return pd.Series(values, dtype=float)


def _spread(genes: GeneTable) -> float:
    """ln of the ratio of the quartiles of dispersion over genes of mean 1 to 10; estimates below 0.02 count as that."""
    chosen = (genes.mean > BINS[2][0]) & (genes.mean <= BINS[3][1])
    if chosen.sum() < LEAST_GENES:
        return math.nan
    low, high = np.quantile(np.maximum(genes.dispersion[chosen], 0.02), [0.25, 0.75])
    return float(np.log(high / low))


def outside_bands(statistics: pd.Series) -> list[str]:
    """Name the statistics of `summary` that do not lie in their band, or are NaN."""
    return [name for name, (low, high) in BANDS.items() if not low <= statistics[name] <= high]
