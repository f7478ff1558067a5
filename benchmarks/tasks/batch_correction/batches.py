"""Batches of cells, the reference batch, and batches that are confounded with contexts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL
from benchmarks.errors import DataError

Method = Literal["none", "technical", "per_condition"]
METHODS: tuple[Method, ...] = get_args(Method)
SEPARATOR = " × "
MEANING = {
    "none": "Cells are not corrected.",
    "technical": (
        "ComBat over study × context × replicate: every such batch is shifted and scaled to the reference. This removes "
        "technical effects, and all other differences between the batches of different contexts. All cells of a batch, "
        "controls and perturbed alike, are corrected by the same line, so the effect of a perturbation inside its batch "
        "survives, scaled gene by gene."
    ),
    "per_condition": (
        "ComBat with one batch a condition, as in section 2.2 of the CycSeq paper (4,728 batches): the mean and the "
        "variance of every perturbation's cells are shifted and scaled to the reference. This removes the very effect "
        "that is to be predicted, up to the shrinkage of the estimates. For reproducing the paper only."
    ),
}
"""Method → what it does to the data, for reports."""


def label_batches(obs: pd.DataFrame, method: Method, study: str) -> pd.Series:
    """Return the name of every cell's batch; raises `DataError` for method "none".

    Batches are study × context × replicate (obs["batch"]), and under "per_condition" also × perturbation × dose.
    """
    if method == "none":
        raise DataError("Integration 'none' has no batches; choose 'technical' or 'per_condition'.")
    parts = [obs["context"].astype(str), obs["batch"].astype(str)]
    if method == "per_condition":
        doses = obs["dose"].map(lambda dose: "" if np.isnan(dose) else f"{dose:g} nM")
        parts += [obs["perturbation"].astype(str), doses]
    label = pd.Series(study, index=obs.index, dtype=object)
    for part in parts:
        label = label + np.where(part == "", "", SEPARATOR + part)
    return label


def choose_reference(batches: Iterable[str], is_control: Iterable[bool]) -> str:
    """Return the batch with the most controls, then the most cells, then the first name; raises `DataError` without any."""
    table = pd.DataFrame({"batch": list(batches), "control": list(is_control)})
    if not table["control"].any():
        raise DataError("No control cell to choose a reference batch by; name the reference batch.")
    counts = table.groupby("batch", sort=True)["control"].agg(["sum", "size"])
    return str(counts.sort_values(["sum", "size"], ascending=False, kind="stable").index[0])


def confounding(obs: pd.DataFrame, batches: Iterable[str], reference: str) -> pd.DataFrame:
    """Find the batches whose effect is confounded with that of their context.

    A batch is separable if a chain of batches with contexts in common leads from it to the reference. Otherwise the
    correction of the batch removes the effect of its context too.

    Parameters
    ----------
    obs
        Canonical obs of the cells that parameters are estimated from.
    batches
        Batch of each cell.
    reference
        The reference batch.

    Returns
    -------
    pd.DataFrame
        Indexed by batch: `n_cells`, `n_controls`, `levels` (its contexts, joined by ", "), `separable`.

    Raises
    ------
    DataError
        No cell is in the reference batch.
    """
    import scipy.sparse as sp
    from scipy.sparse.csgraph import connected_components

    table = pd.DataFrame(
        {
            "batch": np.asarray(list(batches), dtype=object),
            "context": obs["context"].astype(str).to_numpy(),
            "control": (obs["perturbation"] == CONTROL).to_numpy(),
        }
    )
    batch, names = pd.factorize(table["batch"], sort=True)
    context, contexts = pd.factorize(table["context"], sort=True)
    if reference not in names:
        raise DataError(f"The reference batch '{reference}' has none of these cells; choose one of {', '.join(names)}.")
    size = len(names) + len(contexts)
    edges = sp.coo_matrix((np.ones(len(batch)), (batch, len(names) + context)), shape=(size, size))
    component = connected_components(edges, directed=False)[1][: len(names)]
    grouped = table.groupby("batch", sort=True)
    return pd.DataFrame(
        {
            "n_cells": grouped.size(),
            "n_controls": grouped["control"].sum(),
            "levels": grouped["context"].agg(lambda values: ", ".join(sorted(set(values)))),
            "separable": component == component[list(names).index(reference)],
        }
    )
