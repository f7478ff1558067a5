"""This project's metrics on exactly what cell-eval scores: one control mean, all controls as the reference of the tests.

The harness itself scores otherwise on purpose: its controls are split in input and reference cells. To hold values against
each other, both must be given the same inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd

from benchmarks.scoring.metrics import change, differential, profile, retrieval
from benchmarks.scoring.metrics.differential import linear_mean, test_genes
from benchmarks.scoring.metrics.rank_sum import sort_cells

Array = np.ndarray
PAIRS = {
    "pearson_delta": "pearson_delta_shared",
    "mse": "mse",
    "mae": "mae",
    "mse_delta": "mse",
    "mae_delta": "mae",
    "discrimination_score_l1": "pds_vcc",
    "overlap_at_N": "des",
    "de_spearman_lfc_sig": "de_lfc_spearman",
}
"""cell-eval's name → ours, for metrics with one definition (`*_delta` errors equal the plain ones with one control)."""
PDEX = {"geometric_mean": False, "epsilon": 1.0}
"""Settings of cell-eval's test under which its log2 fold change is ours: arithmetic means, pseudocount 1."""


@dataclass(frozen=True)
class Changes:
    """One file as the metrics see it."""

    perturbations: list[str]
    profiles: Array
    """Mean profiles [perturbation, gene], in the file's own units."""
    delta: Array
    """Profiles less the mean profile of the file's controls."""
    p: Array
    significant: Array
    lfc: Array


def changes_of(cells: ad.AnnData, column: str, control: str) -> Changes:
    """Summarise a file of natural-log values against all of its controls."""
    labels = cells.obs[column].astype(str).to_numpy()
    names = sorted(set(labels) - {control})

    def rows(label: str) -> Array:
        return cells.X[np.flatnonzero(labels == label)] / np.log(2)

    reference = sort_cells(rows(control))
    base = linear_mean(reference)
    tests = []
    for name in names:
        mine = sort_cells(rows(name))
        tests.append(test_genes(mine, reference, linear_mean(mine), base))
    means = [np.asarray(rows(n).mean(axis=0, dtype=np.float64)).ravel() * np.log(2) for n in (*names, control)]
    profiles = np.stack(means)
    p, significant, lfc = (
        np.stack(found) for found in zip(*((t.p, t.significant(), t.lfc) for t in tests), strict=True)
    )
    return Changes(names, profiles[:-1], profiles[:-1] - profiles[-1], p, significant, lfc)


def own_columns(perturbations: list[str], cells: ad.AnnData) -> Array:
    """Column of the gene that a perturbation is named after; −1 where there is none."""
    return np.array(cells.var_names.get_indexer(perturbations))


def ours(truth: ad.AnnData, predicted: ad.AnnData, column: str, control: str) -> pd.DataFrame:
    """Score every metric of `PAIRS` [perturbation, metric], named as cell-eval names it."""
    t, p = changes_of(truth, column, control), changes_of(predicted, column, control)
    values = {
        "pearson_delta": change.pearson_delta(t.delta, p.delta),
        "mse": profile.mse(t.profiles, p.profiles),
        "mae": profile.mae(t.profiles, p.profiles),
        "mse_delta": profile.mse(t.delta, p.delta),
        "mae_delta": profile.mae(t.delta, p.delta),
        "discrimination_score_l1": retrieval.pds_vcc(t.delta, p.delta, own_columns(t.perturbations, truth)),
        "overlap_at_N": differential.des(t.significant, p.significant, p.lfc),
        "de_spearman_lfc_sig": differential.de_lfc_spearman(t.significant, t.lfc, p.lfc),
    }
    return pd.DataFrame(values, index=t.perturbations)
