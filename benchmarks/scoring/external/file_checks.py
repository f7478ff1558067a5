"""Checks that two files can be compared; a file that cannot is an error that says what to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL
from benchmarks.errors import DataError
from benchmarks.scoring.external.prediction_files import CellFile
from benchmarks.scoring.table import mean_profile, take
from benchmarks.seeds import derive
from benchmarks.tasks.splits import Split, TestCondition

MIN_TRUTH_CELLS = 4
"""True cells below which a condition has no halves and is left out."""
MIN_CONTROLS = 4
_SPACES = {
    "counts": "counts",
    "ln": "logarithms of normalised counts",
    "log2": "base-2 logarithms",
    "zscore": "z-scores (negative values)",
}


def shared_genes(files: Sequence[CellFile]) -> pd.Index:
    """Genes that all files have, in the first one's order; raises `DataError` where there are fewer than two."""
    genes = files[0].var_names
    for other in files[1:]:
        genes = genes[genes.isin(other.var_names)]
    if len(genes) < 2:
        raise DataError(f"The files share {len(genes)} genes; are the gene names of one kind (symbols or Ensembl ids)?")
    return genes


def check_spaces(truth: CellFile, other: CellFile) -> None:
    """Raise `DataError` where one file holds counts and the other logarithms or z-scores."""
    if truth.space != other.space:
        raise DataError(
            f"{other.name} holds {_SPACES[other.space]}, {truth.name} {_SPACES[truth.space]}. Bring both to one space, or "
            "give --space where the detected one is wrong."
        )


def check_controls(truth: CellFile, prediction: CellFile) -> None:
    """Raise `DataError` for predictions with other control cells than the truth's.

    A change is measured from controls: a model that started from other cells has its change measured from these.
    """
    for context in sorted(set(prediction.obs["context"])):
        own, true = prediction.positions(context, CONTROL), truth.positions(context, CONTROL)
        if not len(own) or not len(true):
            continue
        gap = float(np.abs(mean_profile(take(prediction, own)) - mean_profile(take(truth, true))).max())
        if gap > 1e-3:
            raise DataError(
                f"{prediction.name}: its {len(own)} control cells of context {context} are not the {len(true)} of "
                f"{truth.name} (means differ by up to {gap:.3g} log2). If the model started from the truth's controls, use "
                "--start truth (or leave controls out of the prediction); if from its own, use --start prediction."
            )


def split_of(truth: CellFile, seed: int) -> tuple[Split, list[str]]:
    """Make every perturbation of the truth a test condition; controls are split in I and R, seeded by context.

    Returns
    -------
    Split, list of str
        The conditions, and what was left out and why.

    Raises
    ------
    DataError
        A context with fewer than four controls, or no condition left.
    """
    found, notes = [], []
    for context in sorted(set(truth.obs["context"])):
        controls = truth.positions(context, CONTROL)
        if len(controls) < MIN_CONTROLS:
            raise DataError(
                f"{truth.name}: context {context} has {len(controls)} control cells; at least {MIN_CONTROLS} are needed, "
                "half as input and half as reference. Is --control right?"
            )
        start, reference = _halves(controls, derive(seed, "controls", context))
        here = truth.obs.loc[truth.obs["context"] == context, "perturbation"]
        for perturbation in sorted(set(here) - {CONTROL}):
            cells = truth.positions(context, perturbation)
            if len(cells) < MIN_TRUTH_CELLS:
                notes.append(
                    f"{context}/{perturbation} left out: {len(cells)} true cells, {MIN_TRUTH_CELLS} are needed"
                )
                continue
            halves = _halves(cells, derive(seed, "cells", context, perturbation))
            found.append(TestCondition(context, perturbation, start, reference, *halves))
    if not found:
        raise DataError(f"{truth.name}: no condition with at least {MIN_TRUTH_CELLS} cells beside the control.")
    return Split("external", 0, False, np.array([], dtype=int), tuple(found), frozenset()), notes


def _halves(positions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array_split(np.random.default_rng(seed).permutation(positions), 2)
    return np.sort(first), np.sort(second)
