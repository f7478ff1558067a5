"""The canonical form of every data set: AnnData with fixed obs columns, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.errors import DataError

TEXT_COLUMNS = ("perturbation", "context", "arm", "batch", "control_group")
OBS_COLUMNS = (*TEXT_COLUMNS, "dose", "is_control")
Space = Literal["counts", "ln", "log2", "zscore"]
SOURCE_SPACES = get_args(Space)
"""Spaces a data set may come in: raw counts; natural-log or log2 values of normalised counts; z-scores."""
SAMPLE = 500
"""Cells from which the space of a file is found."""
LARGEST_LOG = 30.0
"""No logarithm of a count, natural or base 2, is as large."""
NEGATIVE_SHARE = 0.2
"""Share of negative values from which a file holds z-scores; a model's logarithms may dip below zero here and there."""


@dataclass(frozen=True)
class Reading:
    """What a data set's `read.py` returns."""

    blocks: Iterable[AnnData]
    """The cells in canonical form, block by block, so that they need not fit in memory; X as it comes (see the card's
    `space`); every block has the same genes in the same order. Iterated once."""
    annotation: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Gene → terms, where the data set brings its own."""
    expectation: pd.DataFrame | None = None
    """Simulated data only: noise-free mean profiles in log2(CP10k + 1), indexed by (context, arm, perturbation), and
    by dose (nM, NaN for none) where conditions have one."""
    notes: list[str] = field(default_factory=list)
    """What was left out, summed or renamed, in words; complete once the blocks have been iterated."""


def condition_name(label: str, separator: str = "+") -> str:
    """Name a combination of perturbations in canonical order: parts sorted, joined by "+"."""
    return "+".join(sorted(part.strip() for part in label.split(separator)))


def tell_space(matrix: Any, source: str) -> Space:
    """Find what values are, from a sample of cells spread over them: whole numbers, z-scores, else natural logarithms.

    Parameters
    ----------
    matrix
        [cell, gene], in memory or on disk; rows are taken by position.
    source
        Where it comes from, for messages.

    Raises
    ------
    DataError
        No value, or fractions too large for logarithms.
    """
    n_cells = matrix.shape[0]
    rows = np.unique(np.linspace(0, n_cells - 1, min(SAMPLE, n_cells)).astype(int))
    values = sp.csr_matrix(matrix[rows]).data
    values = values[np.isfinite(values)]
    if not values.size:
        raise DataError(f"{source}: no finite value other than zero in a sample of {len(rows)} cells.")
    if np.array_equal(values, np.rint(values)):
        return "counts"
    if (values < 0).mean() > NEGATIVE_SHARE:
        return "zscore"
    if values.max() >= LARGEST_LOG:
        raise DataError(
            f"{source}: values are fractions of up to {values.max():.4g}: neither counts nor their logarithms. Give raw "
            "counts, or log1p of normalised counts."
        )
    return "ln"


def validate(cells: AnnData, *, dataset: str, space: str) -> AnnData:
    """Check that cells are in canonical form; returns them unchanged.

    Parameters
    ----------
    cells
        AnnData [cell, gene].
    dataset
        Name for the error messages.
    space
        One of `SOURCE_SPACES`; negative values are allowed in "zscore" only.

    Raises
    ------
    DataError
        As `validate_block` and `validate_labels`, which check the same of cells that come in blocks.
    """
    validate_block(cells, dataset=dataset, space=space)
    validate_labels(cells.obs, dataset=dataset)
    return cells


def validate_block(block: AnnData, *, dataset: str, space: str) -> None:
    """Check all that can be told from some of a data set's cells.

    Raises
    ------
    DataError
        Unknown space, no cell or gene, missing or mistyped column, duplicated genes, combinations not sorted, labels that
        disagree with `is_control`, or values that are NaN, infinite or negative.
    """
    if space not in SOURCE_SPACES:
        raise DataError(f"{dataset}: expression space is '{space}'; expected one of {', '.join(SOURCE_SPACES)}.")
    if block.n_obs == 0 or block.n_vars == 0:
        raise DataError(f"{dataset}: {block.n_obs} cells × {block.n_vars} genes; expected at least one of each.")
    _check_names(block.var_names, "gene", dataset)
    _check_columns(block.obs, dataset)
    _check_control_labels(block.obs, dataset)
    _check_values(block, dataset, space)


def validate_labels(obs: pd.DataFrame, *, dataset: str) -> None:
    """Check what only the labels of all cells show.

    Raises
    ------
    DataError
        Cell names that occur twice, or a context without controls.
    """
    _check_names(obs.index, "cell", dataset)
    without = sorted(set(obs["context"].unique()) - set(obs.loc[obs["is_control"], "context"].unique()))
    if without:
        raise DataError(
            f"{dataset}: no control cells in context {', '.join(map(str, without))}; every context needs controls. "
            "Check the card's control rule."
        )


def _check_names(names: pd.Index, kind: str, dataset: str) -> None:
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        raise DataError(
            f"{dataset}: {len(repeated)} {kind} names occur more than once, such as "
            f"'{repeated[0]}'; make them unique (sum duplicated genes, prefix cells by batch)."
        )


def _check_columns(obs: pd.DataFrame, dataset: str) -> None:
    missing = [c for c in OBS_COLUMNS if c not in obs]
    if missing:
        raise DataError(
            f"{dataset}: obs lacks the column(s) {', '.join(missing)}; it has {', '.join(obs.columns)}. "
            "Name the source columns in the card's [columns] and map them in read.py."
        )
    for column in TEXT_COLUMNS:
        if obs[column].isna().any():
            raise DataError(
                f"{dataset}: obs['{column}'] is empty for {int(obs[column].isna().sum())} cells; "
                "label every cell or drop those cells in read.py."
            )
    if not pd.api.types.is_bool_dtype(obs["is_control"]):
        raise DataError(f"{dataset}: obs['is_control'] has type {obs['is_control'].dtype}; expected bool.")
    if not pd.api.types.is_float_dtype(obs["dose"]):
        raise DataError(f"{dataset}: obs['dose'] has type {obs['dose'].dtype}; expected float (nM, NaN for none).")
    unsorted = [p for p in obs["perturbation"].astype(str).unique() if p != condition_name(p)]
    if unsorted:
        raise DataError(
            f"{dataset}: combination '{unsorted[0]}' is not in canonical order; expected "
            f"'{condition_name(unsorted[0])}' (parts sorted, joined by '+')."
        )


def _check_control_labels(obs: pd.DataFrame, dataset: str) -> None:
    control = obs["is_control"].to_numpy()
    labelled = (obs["perturbation"] == CONTROL).to_numpy()
    if (control != labelled).any():
        raise DataError(
            f"{dataset}: {int((control != labelled).sum())} cells have is_control and perturbation that "
            f"disagree; a control is labelled '{CONTROL}' and nothing else is."
        )


def _check_values(cells: AnnData, dataset: str, space: str) -> None:
    x = cells.X
    if not (sp.issparse(x) or isinstance(x, np.ndarray)):
        raise DataError(f"{dataset}: X is a {type(x).__name__}; expected a SciPy sparse matrix or NumPy array.")
    values = x.data if sp.issparse(x) else x
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataError(f"{dataset}: X has {bad} NaN or infinite values; remove or impute them in read.py.")
    if space != "zscore" and values.size and values.min() < 0:
        raise DataError(
            f"{dataset}: X has negative values (lowest {values.min():.3g}) in space '{space}'; only "
            "'zscore' may have them. State the right space in the card."
        )
    if space == "counts" and values.size and not np.array_equal(values, np.rint(values)):
        raise DataError(
            f"{dataset}: X has fractions in space 'counts'; expected whole UMI counts. "
            "State 'ln' or 'log2' in the card if the values are normalised."
        )
    if space == "counts":
        empty = int((np.asarray(x.sum(axis=1)).ravel() == 0).sum())
        if empty:
            raise DataError(
                f"{dataset}: {empty} cells have no counts at all; drop them in read.py, they cannot be "
                "scaled to 10,000 per cell."
            )
