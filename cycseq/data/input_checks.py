"""Checks of the values and conditions of cells before training and prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from jaxtyping import Bool, Float

from cycseq.arguments import check_cells
from cycseq.config import Output, TrainConfig
from cycseq.data.sampling import MIN_CELLS_TO_SPLIT, CellGroup, group_cells
from cycseq.data.vocabulary import CONTROL, LABELS, NO_PERTURBATION, Cells, Vocabulary, doses, labels
from cycseq.errors import DataError

HIGHEST_LOG = 50.0
"""No log2 value reaches this: 2^50 counts."""
COUNTS_FROM = 10.0
"""Values that are all whole and reach this are counts: the log2 of counts is whole only for 1, 3, 7, 15, …"""
AT_A_TIME = 1 << 16
"""Values looked at together."""
TO_LOG = "sc.pp.normalize_total(adata, target_sum=1e4), then sc.pp.log1p(adata, base=2)"


def check_values(x: sp.csr_matrix, output: Output) -> None:
    """Refuse counts, and values that the output's activation cannot produce, in finite expression [cell, gene].

    Raises
    ------
    DataError
        Whole numbers that reach `COUNTS_FROM`; with a PReLU output, values below 0 or above `HIGHEST_LOG`.
    """
    if not x.nnz:
        return
    low, high = float(x.data.min()), float(x.data.max())
    if high >= COUNTS_FROM and _all_whole(x.data):
        raise DataError(f"X holds whole numbers up to {high:g}: counts; expected log2 values. Take {TO_LOG}.")
    if output == "linear":
        return
    if low < 0:
        raise DataError(
            f"X has values below 0 (lowest {low:g}); expected log2 values of at least 0. For z-scores or corrected values "
            'use a linear output: replace(config, model=replace(config.model, output="linear")).'
        )
    if high > HIGHEST_LOG:
        raise DataError(f"X has values up to {high:g}: no logarithms; expected log2 values. Take {TO_LOG}.")


def check_training(cells: Cells, vocabulary: Vocabulary, config: TrainConfig) -> None:
    """Refuse training cells that pseudo-pairs cannot honestly be made of.

    Raises
    ------
    DataError
        Values as in `check_values`, or all the same; a condition of one cell, whose draws would all be that cell (not with
        `unit="cell"`); a context with perturbed cells and too few controls.
    """
    check_values(cells.x, config.model.output)
    low, high = cells.x.min(), cells.x.max()  # of sparse values the zeros count too
    if low == high:
        raise DataError(f"X is {low:g} everywhere; expected expression that varies.")
    groups = group_cells(cells, np.ones(len(cells.batch), dtype=bool))
    if config.unit == "draw":
        _check_no_lone_cells(groups, vocabulary)
    for context in vocabulary.contexts:
        own = [group for group in groups if vocabulary.batches[group.batch][0] == context]
        _check_controls(context, own)


def lone_cells(adata: AnnData) -> Bool[np.ndarray, " cell"]:
    """Mark cells that are the only one of their (context, batch), perturbation and dose.

    A draw of such a condition is the one cell, whatever c_s; training refuses it. `adata[~lone_cells(adata)]` leaves
    them out.

    Raises
    ------
    DataError
        A column or a label is missing.
    """
    check_cells(adata)
    table = pd.DataFrame({name: labels(adata, name) for name in LABELS})
    table["dose"] = doses(adata) if "dose" in adata.obs else 0.0
    table.loc[table["perturbation"] == CONTROL, "dose"] = 0.0  # as in training, where a control has none
    return (table.groupby([*LABELS, "dose"], dropna=False)["batch"].transform("size") == 1).to_numpy()


def _all_whole(values: Float[np.ndarray, " value"]) -> bool:
    """Whether all values are whole; stops at the first part of `AT_A_TIME` values that has others."""
    return all(
        np.array_equal(part, np.rint(part)) for part in np.split(values, range(AT_A_TIME, len(values), AT_A_TIME))
    )


def _check_no_lone_cells(groups: list[CellGroup], vocabulary: Vocabulary) -> None:
    alone = [group for group in groups if len(group.members) == 1]
    if alone:
        names = [
            f"{'control' if p == NO_PERTURBATION else vocabulary.perturbations[p]} in {' / '.join(vocabulary.batches[b])}"
            for b, p, _, _ in alone[:5]
        ]
        raise DataError(
            f"{len(alone)} condition(s) have one cell, and all draws of one would be that cell: "
            f"{', '.join(names)}{', …' if len(alone) > 5 else ''}; expected at least two. "
            "Leave them out: adata[~cycseq.lone_cells(adata)]."
        )


def _check_controls(context: str, groups: list[CellGroup]) -> None:
    perturbed = [group for group in groups if group.perturbation != NO_PERTURBATION]
    controls = [len(group.members) for group in groups if group.perturbation == NO_PERTURBATION]
    if not perturbed:
        return
    needed = MIN_CELLS_TO_SPLIT if max(len(group.members) for group in perturbed) >= MIN_CELLS_TO_SPLIT else 1
    if max(controls, default=0) < needed:
        raise DataError(
            f"Context '{context}' has {sum(controls)} control cells to pair its perturbed cells with; expected at "
            f"least {needed} in one batch, labelled 'control'. Add controls, or leave the context out."
        )
