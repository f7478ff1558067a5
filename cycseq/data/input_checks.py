"""Checks of arguments, and of the values and conditions of cells before training and prediction."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from cycseq.config import Output, TrainConfig
from cycseq.data.cell_reader import CellReader
from cycseq.data.sampling import MIN_CELLS_TO_SPLIT, group_cells
from cycseq.data.vocabulary import CONTROL, NO_PERTURBATION, Cells, Vocabulary, encode
from cycseq.errors import ConfigError, DataError

HIGHEST_LOG = 50.0
"""No log2 value reaches this: 2^50 counts."""
COUNTS_FROM = 10.0
"""Values that are all whole and reach this are counts: the log2 of counts is whole only for 1, 3, 7, 15, …"""
AT_A_TIME = 1 << 16
"""Values looked at together."""
TO_LOG = "sc.pp.normalize_total(adata, target_sum=1e4), then sc.pp.log1p(adata, base=2)"


def check_whole(name: str, given: object, least: int) -> int:
    """Return a whole number of at least `least`; raises `ConfigError` for anything else, 2.0 included."""
    if not isinstance(given, Integral) or isinstance(given, bool) or int(given) < least:
        raise ConfigError(f"{name} is {given!r}; expected a whole number of at least {least}.")
    return int(given)


def check_text(name: str, given: object) -> str:
    """Return a name; raises `DataError` for what is not text, or is empty."""
    if not isinstance(given, str) or not given.strip():
        raise DataError(f"{name} is {given!r}; expected a name, as text.")
    return given


class Extent(NamedTuple):
    """What the values of some cells are."""

    low: float
    """Lowest value; 0 counts where a cell does not have all genes."""
    high: float
    whole: bool
    """Whether all values are whole numbers."""
    unusable: int
    """Number of NaN and infinite values."""


def extent(blocks: Iterable[sp.csr_matrix]) -> Extent:
    """Go through the values of cells once, some cells at a time."""
    low, high, whole, unusable = np.inf, -np.inf, True, 0
    for x in blocks:
        if x.shape[0]:
            low, high = min(low, float(x.min())), max(high, float(x.max()))
        unusable += int((~np.isfinite(x.data)).sum())
        parts = np.split(x.data, range(AT_A_TIME, len(x.data), AT_A_TIME))
        whole = whole and all(np.array_equal(part, np.rint(part)) for part in parts)
    return Extent(low, high, whole, unusable)


def check_values(found: Extent, output: Output) -> None:
    """Raise `DataError` for NaN and infinite values, counts, and values that the output's activation cannot produce."""
    low, high = found.low, found.high
    if found.unusable:
        raise DataError(
            f"X has {found.unusable} NaN or infinite values; expected finite ones. Remove or impute them first."
        )
    if high >= COUNTS_FROM and found.whole:
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


def training_cells(adata: AnnData | CellReader, vocabulary: Vocabulary, config: TrainConfig) -> Cells:
    """Encode training cells; raises `DataError` for those that pseudo-pairs cannot honestly be made of.

    Values as in `check_values`, or all the same; a condition of one cell, whose draws would all be that cell (not with
    `unit="cell"`); a context with perturbed cells and too few controls.
    """
    cells = encode(adata, vocabulary)
    found = extent(cells.x.blocks())
    check_values(found, config.model.output)
    if found.low == found.high:
        raise DataError(f"X is {found.low:g} everywhere; expected expression that varies.")
    groups = group_cells(cells, np.ones(len(cells.batch), dtype=bool))
    names = {NO_PERTURBATION: CONTROL} | dict(enumerate(vocabulary.perturbations))
    alone = [f"{names[p]} in {' / '.join(vocabulary.batches[b])}" for b, p, _, own in groups if len(own) == 1]
    if alone and config.unit == "draw":
        raise DataError(
            f"{len(alone)} condition(s) have one cell, and all draws of one would be that cell: {', '.join(alone[:5])}"
            f"{', …' if len(alone) > 5 else ''}; expected at least two. Leave them out: adata[~cycseq.lone_cells(adata)]."
        )
    for context in vocabulary.contexts:
        own = [group for group in groups if vocabulary.batches[group.batch][0] == context]
        controls = [len(group.members) for group in own if group.perturbation == NO_PERTURBATION]
        perturbed = [len(group.members) for group in own if group.perturbation != NO_PERTURBATION]
        needed = MIN_CELLS_TO_SPLIT if max(perturbed, default=0) >= MIN_CELLS_TO_SPLIT else 1
        if perturbed and max(controls, default=0) < needed:
            raise DataError(
                f"Context '{context}' has {sum(controls)} control cells to pair its perturbed cells with; expected at "
                f"least {needed} in one batch, labelled 'control'. Add controls, or leave the context out."
            )
    return cells
