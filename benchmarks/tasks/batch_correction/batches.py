"""Which cells are one batch, and what a batch's effect cannot be told from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from benchmarks.contract import CONTROL
from benchmarks.errors import DataError

Method = Literal["none", "technical", "per_condition"]
METHODS: tuple[Method, ...] = get_args(Method)
SEPARATOR = " × "
MEANING = {
    "none": "Cells are as their study has them.",
    "technical": (
        "ComBat over study × context × replicate: every such batch is shifted and scaled to the reference, which takes "
        "technical effects away, and with them whatever else the batches of different contexts differ in. All cells of a "
        "batch, controls and perturbed alike, are moved by the same line, so that the effect of a perturbation inside its "
        "batch survives, scaled gene by gene."
    ),
    "per_condition": (
        "ComBat with one batch a condition, as section 2.2 of the CycSeq paper has it (4,728 batches): the mean and the "
        "variance of every perturbation's cells are brought to the reference, so that it removes the very effect that is "
        "to be predicted; what is left is what shrinkage did not take. For reproducing the paper only."
    ),
}
"""What each method does to the data, in words for reports."""


def label_batches(obs: pd.DataFrame, method: Method, study: str, reference_study: bool = False) -> pd.Series:
    """Name the batch of every cell.

    Parameters
    ----------
    obs
        Canonical obs.
    method
        "technical": study × context × replicate (obs["batch"]); "per_condition": the same, × perturbation and dose.
    study
        Name of the data set the cells come from.
    reference_study
        Whether this whole study is the reference, as the pan-cancer lines are: one batch, named as the study.

    Raises
    ------
    DataError
        For "none", which has no batches.
    """
    if method == "none":
        raise DataError("Without integration there are no batches; choose 'technical' or 'per_condition'.")
    if reference_study:
        return pd.Series(study, index=obs.index, dtype=object)
    parts = [obs["context"].astype(str), obs["batch"].astype(str)]
    if method == "per_condition":
        parts.append(obs["perturbation"].astype(str))
        parts.append(obs["dose"].map(lambda dose: "" if np.isnan(dose) else f"{dose:g} nM"))
    label = pd.Series(study, index=obs.index, dtype=object)
    for part in parts:
        label = label + np.where(part == "", "", SEPARATOR + part)
    return label


def choose_reference(batches: Iterable[str], is_control: Iterable[bool]) -> str:
    """Name the batch with the most controls; of several, the one with the most cells, then the first in the alphabet.

    Raises
    ------
    DataError
        There is no control among the cells.
    """
    table = pd.DataFrame({"batch": list(batches), "control": list(is_control)})
    if not table["control"].any():
        raise DataError("No control cell to choose a reference batch by; name the reference batch.")
    counts = table.groupby("batch", sort=True)["control"].agg(["sum", "size"])
    return str(counts.sort_values(["sum", "size"], ascending=False, kind="stable").index[0])


def confounding(obs: pd.DataFrame, batches: Iterable[str], reference: str, column: str = "context") -> pd.DataFrame:
    """Say of every batch whether its effect can be told from that of a label, such as the context.

    It can where a chain of batches that share levels of the label leads from the batch to the reference: then cells of
    one level were seen on both sides of every step. Where it cannot, bringing the batch to the reference takes the
    label's effect away with it.

    Parameters
    ----------
    obs
        Canonical obs of the cells that parameters are estimated from.
    batches
        Batch of each.
    reference
        The batch that all others are brought to.
    column
        The label in question: "context" or "perturbation".

    Returns
    -------
    pd.DataFrame
        Indexed by batch: `n_cells`, `n_controls`, `levels` (of the label, joined by ", "), `separable`.
    """
    table = pd.DataFrame(
        {
            "batch": np.asarray(list(batches), dtype=object),
            "level": obs[column].astype(str).to_numpy(),
            "control": (obs["perturbation"] == CONTROL).to_numpy(),
        }
    )
    batch, names = pd.factorize(table["batch"], sort=True)
    level, levels = pd.factorize(table["level"], sort=True)
    if reference not in names:
        raise DataError(f"The reference batch '{reference}' holds none of these cells; name one of {', '.join(names)}.")
    size = len(names) + len(levels)
    edges = sp.coo_matrix((np.ones(len(batch)), (batch, len(names) + level)), shape=(size, size))
    part = connected_components(edges, directed=False)[1][: len(names)]
    grouped = table.groupby("batch", sort=True)
    return pd.DataFrame(
        {
            "n_cells": grouped.size(),
            "n_controls": grouped["control"].sum(),
            "levels": grouped["level"].agg(lambda values: ", ".join(sorted(set(values)))),
            "separable": part == part[list(names).index(reference)],
        }
    )
