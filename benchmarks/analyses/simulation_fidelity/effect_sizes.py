"""How large the effects are, and how well simple predictions match them: E-distance, copying, mean effect, split halves.

Controls are divided into two disjoint halves, A (where a prediction starts) and B (what a change is measured from), so that
one control mean's noise cannot correlate with itself. All values are in log2(CP10k + 1), or upstream's values in log2.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from benchmarks.analyses.simulation_fidelity.count_statistics import first_arm
from benchmarks.data.cell_table import select
from benchmarks.data.dataset import Dataset
from benchmarks.data.expression_space import to_space
from benchmarks.scoring.metrics.change import pearson_delta
from benchmarks.scoring.metrics.distribution import N_COMPONENTS, e_distance
from benchmarks.scoring.metrics.profile import r2_pearson
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import MIN_CELLS

MOST_CELLS = 100
"""Cells of a condition that are looked at: the E-distance and the halves depend on their number."""
REPEATS = 5
"""Halvings that a split-half value is the mean of."""
PERMUTATIONS = 199
"""Permutations of a condition's cells and as many controls that its E-distance is compared with."""
LEVEL = 0.05
"""An E-distance is significant where fewer permutations than this reach it."""
PCA_CELLS = 4000
"""Most cells that components are fitted to."""


def effect_table(dataset: Dataset, seed: int = 0) -> pd.DataFrame:
    """Measure every condition of a data set that has `MIN_CELLS` cells or more.

    Returns
    -------
    pd.DataFrame
        One row a condition: context, condition, cells, `e_distance` (from as many controls B), `e_significant`
        (p < 0.05 by permutation), `r2_copy` (r2_pearson of controls A as prediction), `delta_mean`
        (pearson_delta of the mean effect of the context's other conditions), `delta_mean_shared` (the same with one control
        mean on both sides, as is often done), `delta_halves` (pearson_delta between disjoint halves of cells and controls).
    """
    chosen = select(dataset.cells, (dataset.cells.obs["arm"] == first_arm(dataset)).to_numpy())
    cells, _ = to_space(chosen, dataset.card.space)
    dose = cells.obs["dose"].map(lambda d: "" if np.isnan(d) else f" {d:g} nM")
    label = (cells.obs["perturbation"].astype(str) + dose.astype(str)).to_numpy()
    control = cells.obs["is_control"].to_numpy()
    tables = {}
    for context in sorted(set(cells.obs["context"])):
        here = (cells.obs["context"] == context).to_numpy()
        rng = np.random.default_rng(derive(seed, "cells", context))
        a, b = np.array_split(rng.permutation(np.flatnonzero(here & control)), 2)
        found = {name: np.flatnonzero(here & (label == name)) for name in sorted(set(label[here & ~control]))}
        conditions = {
            name: cells.X[rng.permutation(own)[:MOST_CELLS]] for name, own in found.items() if len(own) >= MIN_CELLS
        }
        rng = np.random.default_rng(derive(seed, context))
        tables[context] = _measure(cells.X[a], cells.X[b], conditions, rng)
    table = pd.concat(tables, names=["context"]).reset_index(level=0).reset_index(drop=True)
    return table.assign(dataset=dataset.card.name, source=dataset.card.source)


def _measure(
    controls_a: sp.csr_matrix, controls_b: sp.csr_matrix, conditions: dict[str, sp.csr_matrix], rng: np.random.Generator
) -> pd.DataFrame:
    a, b = _mean(controls_a), _mean(controls_b)
    shared = _mean(sp.vstack([controls_a, controls_b]))
    means = np.stack([_mean(x) for x in conditions.values()])
    others = (means.sum(axis=0) - means) / max(1, len(means) - 1)
    distances, significant = _distances(controls_a, controls_b, conditions, rng)
    return pd.DataFrame(
        {
            "condition": list(conditions),
            "cells": [x.shape[0] for x in conditions.values()],
            "e_distance": distances,
            "e_significant": significant,
            "r2_copy": r2_pearson(means, np.broadcast_to(a, means.shape)),
            "delta_mean": pearson_delta(means - b, others - a),
            "delta_mean_shared": pearson_delta(means - shared, others - shared),
            "delta_halves": [_halves(x, a, b, rng) for x in conditions.values()],
        }
    )


def _mean(cells: sp.csr_matrix) -> Float[np.ndarray, "gene"]:
    return np.asarray(cells.astype(np.float64).mean(axis=0)).ravel()


def _halves(cells: sp.csr_matrix, a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> float:
    """pearson_delta of one half against the other, each with its own controls' mean, mean over halvings."""
    values = []
    for _ in range(REPEATS):
        first, second = np.array_split(rng.permutation(cells.shape[0]), 2)
        one, other = _mean(cells[first]) - a, _mean(cells[second]) - b
        values.append(float(pearson_delta(other[None], one[None])[0]))
    return float(np.mean(values))


def _distances(
    controls_a: sp.csr_matrix, controls_b: sp.csr_matrix, conditions: dict[str, sp.csr_matrix], rng: np.random.Generator
) -> tuple[list[float], list[bool]]:
    """E-distance of each condition from as many controls B, and whether it is significant.

    Components are fitted to the context's cells, as many as there are up to `N_COMPONENTS`.
    """
    everything = sp.vstack([controls_a, controls_b, *conditions.values()]).tocsr()
    sample = everything[np.sort(rng.permutation(everything.shape[0])[:PCA_CELLS])].toarray()
    n = min(N_COMPONENTS, *sample.shape)
    pca = PCA(n, svd_solver="randomized", random_state=int(rng.integers(2**31))).fit(sample)
    controls = pca.transform(controls_b.toarray())
    values, significant = [], []
    for cells in conditions.values():
        size = min(cells.shape[0], len(controls))
        one, other = (x[rng.permutation(len(x))[:size]] for x in (pca.transform(cells.toarray()), controls))
        values.append(e_distance(one, other))
        reached = (permuted_e_distances(one, other, rng) >= values[-1]).sum()
        significant.append(bool((1 + reached) / (1 + PERMUTATIONS) < LEVEL))
    return values, significant


def permuted_e_distances(
    one: Float[np.ndarray, "cell component"], other: Float[np.ndarray, "cell2 component"], rng: np.random.Generator
) -> Float[np.ndarray, "permutation"]:
    """Work out the E-distance for random divisions of all cells into two sides of the same sizes."""
    distance = cdist(np.concatenate([one, other]), np.concatenate([one, other]))
    n, m = len(one), len(other)
    side = np.zeros((PERMUTATIONS, n + m))
    np.put_along_axis(side, np.argsort(rng.random(side.shape), axis=1)[:, :n], 1.0, axis=1)
    first, second = side @ distance, (1 - side) @ distance
    across = (first * (1 - side)).sum(axis=1) / (n * m)
    within = (first * side).sum(axis=1) / (n * (n - 1)) + (second * (1 - side)).sum(axis=1) / (m * (m - 1))
    return 2 * across - within
