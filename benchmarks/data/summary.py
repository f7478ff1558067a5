"""What is in a data set: cells per condition, depth, detection, control share; computed from the store as it streams by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.data.store.cell_store import CellStore

CONDITION = ["context", "arm", "perturbation", "dose"]


def measure_cells(store: CellStore) -> pd.DataFrame:
    """Measure every cell, reading the store once.

    Returns
    -------
    pandas.DataFrame
        One row a cell, in the order on disk: labels, `depth` (sum of its values: counts, where the data are counts) and
        `detected` (genes whose value is not zero).
    """
    found = []
    for block in store.blocks():
        depth = np.asarray(block.X.sum(axis=1, dtype=np.float64)).ravel()
        nonzero = np.asarray((block.X != 0).sum(axis=1)).ravel()
        found.append(block.obs[[*CONDITION, "is_control"]].assign(depth=depth, detected=nonzero))
    return pd.concat(found, ignore_index=True)


def per_condition(cells: pd.DataFrame) -> pd.DataFrame:
    """Summarise measured cells by condition: number of cells, median depth, median number of genes detected."""
    groups = cells.groupby([*CONDITION, "is_control"], dropna=False, observed=True)
    table = groups.agg(cells=("depth", "size"), depth=("depth", "median"), detected=("detected", "median"))
    return table.reset_index().sort_values(
        ["context", "arm", "is_control", "cells"], ascending=[True, True, False, False]
    )


def per_context(cells: pd.DataFrame) -> pd.DataFrame:
    """Summarise measured cells by context and arm: cells, perturbations, the share of controls, medians."""
    groups = cells.groupby(["context", "arm"], observed=True)
    table = groups.agg(
        cells=("depth", "size"),
        control_share=("is_control", "mean"),
        depth=("depth", "median"),
        detected=("detected", "median"),
    )
    perturbed = cells.loc[~cells["is_control"]].groupby(["context", "arm"], observed=True)["perturbation"].nunique()
    return table.assign(perturbations=perturbed.reindex(table.index, fill_value=0)).reset_index()


def totals(store: CellStore, cells: pd.DataFrame) -> Mapping[str, str]:
    """Say in words what a data set has in all."""
    values = int(cells["detected"].sum())
    return {
        "cells": f"{len(cells):,}",
        "genes": f"{store.n_vars:,}",
        "contexts": f"{cells['context'].nunique():,}",
        "perturbations": f"{cells.loc[~cells['is_control'], 'perturbation'].nunique():,}",
        "controls": f"{cells['is_control'].mean():.1%} of cells",
        "values that are not zero": f"{values / len(cells) / store.n_vars:.1%}",
        "depth, median": f"{cells['depth'].median():,.0f}"
        + (" counts" if store.space == "counts" else f" ({store.space})"),
        "genes detected, median": f"{cells['detected'].median():,.0f}",
    }
