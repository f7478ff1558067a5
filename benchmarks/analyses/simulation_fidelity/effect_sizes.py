"""How large the effects are, and how well simple predictions match them: E-distance, copying, mean effect, split halves.

Controls are divided into two disjoint halves, A (where a prediction starts) and B (what a change is measured from), so that
one control mean's noise cannot correlate with itself. All values are in log2(CP10k + 1), or upstream's values in log2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from benchmarks.analyses.simulation_fidelity.count_statistics import first_arm
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


@dataclass(frozen=True)
class Group:
    """One context's cells in log2 space."""

    context: str
    controls_a: sp.csr_matrix
    controls_b: sp.csr_matrix
    conditions: dict[str, sp.csr_matrix]
    """Condition → at most `MOST_CELLS` cells; those with fewer than `MIN_CELLS` are left out."""


def effect_table(dataset: Dataset, seed: int = 0) -> pd.DataFrame:
    """Measure every condition of a data set.

    Returns
    -------
    pd.DataFrame
        One row a condition: context, condition, cells, `e_distance` (from as many controls B), `e_significant`
        (p < 0.05 by permutation), `r2_copy` (r2_pearson of controls A as prediction), `delta_mean`
        (pearson_delta of the mean effect of the context's other conditions), `delta_mean_shared` (the same with one control
        mean on both sides, as is often done), `delta_halves` (pearson_delta between disjoint halves of cells and controls).
    """
    tables = [_measure(group, np.random.default_rng(derive(seed, group.context))) for group in _groups(dataset, seed)]
    return pd.concat(tables, ignore_index=True).assign(dataset=dataset.card.name, source=dataset.card.source)


def _groups(dataset: Dataset, seed: int) -> Iterator[Group]:
    chosen = dataset.cells[(dataset.cells.obs["arm"] == first_arm(dataset)).to_numpy()]
    cells, _ = to_space(chosen, dataset.card.space)
    dose = cells.obs["dose"].map(lambda d: "" if np.isnan(d) else f" {d:g} nM")
    label = (cells.obs["perturbation"].astype(str) + dose.astype(str)).to_numpy()
    control = cells.obs["is_control"].to_numpy()
    for context in sorted(set(cells.obs["context"])):
        here = (cells.obs["context"] == context).to_numpy()
        rng = np.random.default_rng(derive(seed, "cells", context))
        a, b = np.array_split(rng.permutation(np.flatnonzero(here & control)), 2)
        conditions = {}
        for name in sorted(set(label[here & ~control])):
            found = np.flatnonzero(here & (label == name))
            if len(found) >= MIN_CELLS:
                conditions[name] = cells.X[rng.permutation(found)[:MOST_CELLS]]
        yield Group(context, cells.X[a], cells.X[b], conditions)


def _measure(group: Group, rng: np.random.Generator) -> pd.DataFrame:
    names = list(group.conditions)
    a, b = _mean(group.controls_a), _mean(group.controls_b)
    shared = _mean(sp.vstack([group.controls_a, group.controls_b]))
    means = np.stack([_mean(x) for x in group.conditions.values()])
    others = (means.sum(axis=0) - means) / max(1, len(names) - 1)
    distances = _distances(group, rng)
    return pd.DataFrame(
        {
            "context": group.context,
            "condition": names,
            "cells": [x.shape[0] for x in group.conditions.values()],
            "e_distance": distances[0],
            "e_significant": distances[1],
            "r2_copy": r2_pearson(means, np.broadcast_to(a, means.shape)),
            "delta_mean": pearson_delta(means - b, others - a),
            "delta_mean_shared": pearson_delta(means - shared, others - shared),
            "delta_halves": [_halves(x, group, rng) for x in group.conditions.values()],
        }
    )


def _mean(cells: sp.csr_matrix) -> Float[np.ndarray, "gene"]:
    return np.asarray(cells.mean(axis=0, dtype=np.float64)).ravel()


def _halves(cells: sp.csr_matrix, group: Group, rng: np.random.Generator) -> float:
    """pearson_delta of one half against the other, each with its own controls, mean over halvings."""
    values = []
    for _ in range(REPEATS):
        first, second = np.array_split(rng.permutation(cells.shape[0]), 2)
        one, other = _mean(cells[first]) - _mean(group.controls_a), _mean(cells[second]) - _mean(group.controls_b)
        values.append(float(pearson_delta(other[None], one[None])[0]))
    return float(np.mean(values))


def _distances(group: Group, rng: np.random.Generator) -> tuple[list[float], list[bool]]:
    """E-distance of each condition from as many controls B, and whether it is significant.

    Components are fitted to the context's cells, as many as there are up to `N_COMPONENTS`.
    """
    everything = sp.vstack([group.controls_a, group.controls_b, *group.conditions.values()]).tocsr()
    sample = everything[np.sort(rng.permutation(everything.shape[0])[:PCA_CELLS])].toarray()
    n = min(N_COMPONENTS, *sample.shape)
    pca = PCA(n, svd_solver="randomized", random_state=int(rng.integers(2**31))).fit(sample)
    controls = pca.transform(group.controls_b.toarray())
    values, significant = [], []
    for cells in group.conditions.values():
        size = min(cells.shape[0], len(controls))
        one, other = _take(pca.transform(cells.toarray()), size, rng), _take(controls, size, rng)
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


def _take(cells: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return cells[rng.permutation(len(cells))[:n]]
