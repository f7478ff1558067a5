"""The canonical form of every data set: AnnData with fixed obs columns, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.data.space_names import Space
from benchmarks.errors import DataError

TEXT_COLUMNS = ("perturbation", "context", "arm", "batch", "control_group")
OBS_COLUMNS = (*TEXT_COLUMNS, "dose", "is_control")
SOURCE_SPACES = get_args(Space)
"""Spaces a data set may come in: raw counts; natural-log or log2 values of normalised counts; z-scores."""
LARGEST_LOG = 30.0
"""No logarithm of a count, natural or base 2, is as large."""
FEW = 10
"""Values of a cell from which whole numbers throughout are counts; a logarithm is whole only by chance."""


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


def validate_block(block: AnnData, source: str, space: str) -> None:
    """Check some of a data set's cells; raises `DataError`.

    Refused are: no cell or gene, duplicated genes, wrong labels (see `validate_labels`) or values (see `check_values`), and
    cells without counts.
    """
    if block.n_obs == 0 or block.n_vars == 0:
        raise DataError(f"{source}: {block.n_obs} cells × {block.n_vars} genes; expected at least one of each.")
    _check_unique(block.var_names, "gene", source)
    _check_columns(block.obs, source)
    check_values(block.X, source, space)
    empty = int((np.asarray(block.X.sum(axis=1)).ravel() == 0).sum()) if space == "counts" else 0
    if empty:
        raise DataError(
            f"{source}: {empty} cells have no counts at all and cannot be scaled; leave them out in read.py."
        )


def validate_labels(obs: pd.DataFrame, source: str, *, whole: bool = True) -> None:
    """Check the labels of all cells of a data set, or with `whole=False` of some of them; raises `DataError`.

    Refused are: missing, empty or mistyped columns; combinations that are not sorted; labels that disagree with
    `is_control`; in a whole data set also cell names that occur twice and a context without controls.
    """
    _check_columns(obs, source)
    if not whole:
        return
    _check_unique(obs.index, "cell", source)
    without = sorted(set(obs["context"].unique()) - set(obs.loc[obs["is_control"], "context"].unique()))
    if without:
        raise DataError(
            f"{source}: no control cells in context {', '.join(map(str, without[:8]))}; every context needs controls. "
            "Check the control labels, or leave these contexts out."
        )


def check_values(x: Any, source: str, space: str, *, predicted: bool = False) -> None:
    """Refuse NaN and infinite values, negative ones in "counts", and what cannot be in a space; raises `DataError`.

    `predicted` cells may have fractions among counts, and logarithms below 0.
    """
    values: np.ndarray = x.data if sp.issparse(x) else x
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataError(f"{source} has {bad} NaN or infinite values; leave out or mend the genes or cells they are in.")
    if space == "zscore":
        return
    if values.size and values.min() < 0 and not (predicted and space != "counts"):
        raise DataError(
            f"{source} has negative values (lowest {values.min():.3g}) in space '{space}'; are these z-scores? State "
            "space 'zscore', or give the file of counts."
        )
    if space in ("ln", "log2"):
        _check_logarithms(x, source, space)
    if space == "counts" and not predicted and not np.array_equal(values, np.rint(values)):
        kind = "log-normalised" if values.max() < 20 else "normalised"
        raise DataError(
            f"{source} has fractions (largest value {values.max():.4g}) where whole counts are expected: the values look "
            f"{kind}. Give the file of raw counts, or state the space (ln, log2)."
        )


def _check_logarithms(x: Any, source: str, space: str) -> None:
    """Refuse cells whose values are no logarithms: too large, or whole numbers throughout, as counts are."""
    rows = sp.csr_matrix(x)
    occupied = np.diff(rows.indptr)
    starts = rows.indptr[:-1][occupied > 0]
    if not len(starts):
        return
    largest = np.maximum.reduceat(rows.data, starts)
    whole = np.logical_and.reduceat(rows.data == np.rint(rows.data), starts)
    counts = whole & (occupied[occupied > 0] >= FEW) & (largest > 1)
    bad = int((counts | (largest >= LARGEST_LOG)).sum())
    if bad:
        raise DataError(
            f"{source}: {bad} cells have values of up to {largest[counts | (largest >= LARGEST_LOG)].max():.4g} that are no "
            f"logarithms, among values taken as {space}; were some of the cells not logged? Give all in one space."
        )


def _check_unique(names: pd.Index, kind: str, source: str) -> None:
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        raise DataError(f"{source}: {len(repeated)} {kind} names occur more than once, such as '{repeated[0]}'.")


def _check_columns(obs: pd.DataFrame, source: str) -> None:
    missing = [c for c in OBS_COLUMNS if c not in obs]
    if missing:
        raise DataError(f"{source}: obs lacks the column(s) {', '.join(missing)}; it has {', '.join(obs.columns)}.")
    for column in TEXT_COLUMNS:
        if obs[column].isna().any():
            n_empty = int(obs[column].isna().sum())
            raise DataError(f"{source}: {n_empty} cells have no {column}; label them or leave them out.")
    if not pd.api.types.is_bool_dtype(obs["is_control"]) or not pd.api.types.is_float_dtype(obs["dose"]):
        raise DataError(
            f"{source}: is_control is {obs['is_control'].dtype} and dose {obs['dose'].dtype}; expected bool and float "
            "(nM, NaN for none)."
        )
    unsorted = [p for p in obs["perturbation"].astype(str).unique() if p != condition_name(p)]
    if unsorted:
        raise DataError(
            f"{source}: combination '{unsorted[0]}' is not in canonical order; expected '{condition_name(unsorted[0])}'."
        )
    wrong = int((obs["is_control"] != (obs["perturbation"] == CONTROL)).sum())
    if wrong:
        raise DataError(
            f"{source}: {wrong} cells have is_control and perturbation that disagree; a control is labelled '{CONTROL}' "
            "and nothing else is."
        )
