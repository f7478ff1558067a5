"""E-distance of every perturbation to its controls before and after batch correction: how much of its effect is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.data.cell_table import CellTable, blocks
from benchmarks.scoring.metrics.distribution import distance_within, e_distance
from benchmarks.scoring.training_summary import find_components
from benchmarks.seeds import derive
from benchmarks.tasks.batch_correction.batches import MEANING, Method

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

Array = np.ndarray
MOST_CELLS = 500
"""Cells a side that a distance is measured on; more are subsampled."""
NULL_DRAWS = 5
"""Times that controls are compared with other controls; the largest distance is the floor."""
CONDITION = ["context", "arm", "perturbation", "dose", "control_group"]


def surviving_effects(before: CellTable, after: CellTable, train: Array, *, seed: int = 0) -> pd.DataFrame:
    """Measure every perturbation's effect before and after batch correction, in the same units.

    `before` and `after` are the same cells [cell, gene], controls of every group among them; `train` are the positions of the
    training cells, in whose principal components before correction the distances are measured on both sides.

    Returns
    -------
    pd.DataFrame
        One row a condition: context, arm, perturbation, dose, control_group, `n_cells`, `n_controls` (of the same
        control group); `e_before`, `e_after`, E-distance to the controls; `floor`, the largest of five distances between
        two samples of as many controls before correction; `detected`, whether e_before exceeds it; `share`, e_after /
        e_before, and `share_of_spread`, the same with each distance in units of the mean distance between its controls,
        so that a mere change of scale does not count. Shares are NaN where no effect is detected, everything is where a
        side has fewer than two cells.
    """
    components = find_components(before, train, derive(seed, "components"))
    sides = _projected(components, before), _projected(components, after)
    obs = before.obs.reset_index(drop=True)
    control = obs["is_control"].to_numpy()
    controls = {str(g): np.asarray(rows) for g, rows in obs[control].groupby("control_group").groups.items()}
    floors: dict[tuple[str, int], float] = {}
    rows = []
    for key, members in obs[~control].groupby(CONDITION, dropna=False, sort=True).groups.items():
        labels = dict(zip(CONDITION, key, strict=True))
        group = str(labels["control_group"])
        others = controls.get(group, np.array([], dtype=np.int64))
        generator = np.random.default_rng(derive(seed, *key))
        size = min(len(members), len(others) // 2, MOST_CELLS)
        if (group, size) not in floors:
            floors[group, size] = _floor(sides[0], others, size, np.random.default_rng(derive(seed, group, size)))
        rows.append(labels | _effect(sides, np.asarray(members), others, floors[group, size], generator))
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame, method: Method) -> str:
    """Describe what a method did to the effects; `table` is from `surviving_effects`."""
    found = table[table["detected"]]
    if found.empty:
        return (
            f"{MEANING[method]} None of {len(table)} conditions differs from its controls by more than controls differ."
        )
    low, middle, high = np.quantile(found["share"], [0.1, 0.5, 0.9])
    lost = int((found["e_after"] <= found["floor"]).sum())
    return (
        f"{MEANING[method]} {len(found)} of {len(table)} conditions differ from their controls by more than controls "
        f"differ from each other. Of their E-distance to control {middle:.0%} is left in the median (10 % to 90 % of "
        f"conditions: {low:.0%} to {high:.0%}; in units of the controls' own spread {found['share_of_spread'].median():.0%}); "
        f"{lost} of them no longer exceed the noise."
    )


def _projected(components: PCA, cells: CellTable) -> Array:
    """Transform all cells to principal components [cell, component], some at a time."""
    found = np.empty((len(cells.obs), len(components.axes)))
    for rows, x in blocks(cells, np.arange(len(found))):
        found[rows] = components.transform(x)
    return found


def _effect(
    sides: tuple[Array, Array], members: Array, controls: Array, floor: float, generator: np.random.Generator
) -> dict[str, object]:
    """Distances of one condition; the same cells on both sides."""
    e_before = e_after = share = of_spread = np.nan
    if len(members) < 2 or len(controls) < 2:
        floor = np.nan
    else:
        cells, others = (
            own if len(own) <= MOST_CELLS else generator.choice(own, MOST_CELLS, replace=False)
            for own in (members, controls)
        )
        spreads = [distance_within(side[others]) for side in sides]
        e_before, e_after = (e_distance(s[others], s[cells], w) for s, w in zip(sides, spreads, strict=True))
        share = e_after / e_before if e_before > floor else np.nan
        of_spread = share * spreads[0] / spreads[1] if spreads[1] > 0 else np.nan
    distances = {"e_before": e_before, "e_after": e_after, "floor": floor, "detected": bool(e_before > floor)}
    sizes = {"n_cells": len(members), "n_controls": len(controls)}
    return {**sizes, **distances, "share": share, "share_of_spread": of_spread}


def _floor(cells: Array, controls: Array, size: int, generator: np.random.Generator) -> float:
    """Largest distance between two disjoint samples of `size` controls; NaN for fewer than two cells a side."""
    if size < 2:
        return np.nan
    orders = (generator.permutation(controls) for _ in range(NULL_DRAWS))
    return max(e_distance(cells[order[:size]], cells[order[size : 2 * size]]) for order in orders)
