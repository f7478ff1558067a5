"""Predictions and truth in h5ad files of any tool, brought to one form, compared, and read one condition at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL, Prediction
from benchmarks.data.expression_space import convert
from benchmarks.data.schema import Space, condition_name, tell_space
from benchmarks.errors import DataError
from benchmarks.scoring.scored_fold import mean_profile, take
from benchmarks.seeds import derive
from benchmarks.tasks.splits import Split, TestCondition

IN_MEMORY = 2 << 30
"""Bytes up to which a file's values are read at once, as stored; of larger files rows are read when they are needed."""
MIN_CELLS = 4
"""Controls that a context needs, and true cells below which a condition has no halves and is left out."""


@dataclass(frozen=True)
class Labels:
    """Names of the obs columns, of the control and of the separator of combinations."""

    perturbation: str = "perturbation"
    context: str | None = None
    control: str = CONTROL
    separator: str = "+"


@dataclass(frozen=True)
class LazyRows:
    """Rows of a file's matrix, in the truth's gene order and log2 units, converted as they are taken."""

    matrix: Any
    columns: np.ndarray
    space: Space
    source: str

    def __getitem__(self, positions: np.ndarray) -> sp.csr_matrix:
        rows = sp.csr_matrix(self.matrix[np.asarray(positions)], dtype=np.float32)
        bad = int((~np.isfinite(rows.data)).sum())
        if bad:
            raise DataError(f"{self.source}: {bad} NaN or infinite values in X; give finite numbers.")
        # counts are scaled over the genes that are compared, because files with different genes have different totals
        same = np.array_equal(self.columns, np.arange(rows.shape[1]))
        try:
            return convert(rows if same else rows[:, self.columns], self.space)
        except DataError as error:
            raise DataError(f"{self.source}: {error}") from error


@dataclass(frozen=True)
class CellFile:
    """Cells of one file: labels in memory, values too where they fit."""

    name: str
    obs: pd.DataFrame
    """Columns context and perturbation."""
    var_names: pd.Index
    X: LazyRows

    def positions(self, context: str, perturbation: str) -> np.ndarray:
        """Positions of a condition's cells, ascending."""
        return self._places.get((context, perturbation), np.array([], dtype=np.int64))

    @cached_property
    def _places(self) -> dict[tuple[str, str], np.ndarray]:
        return dict(self.obs.groupby(["context", "perturbation"], sort=False).indices)

    def with_genes(self, genes: pd.Index) -> CellFile:
        """Select genes by name, in this order; raises `DataError` where one is missing."""
        place = self.var_names.get_indexer(genes)
        if (place < 0).any():
            missing = genes[place < 0]
            raise DataError(
                f"{self.name}: {len(missing)} of the truth's {len(genes)} genes are missing, such as '{missing[0]}'. Give "
                "a value for every gene, or use --genes shared to score on the genes that all files have."
            )
        return replace(self, var_names=genes, X=replace(self.X, columns=self.X.columns[place]))


def read_cells(path: Path, labels: Labels, space: Space | None = None) -> CellFile:
    """Open an h5ad file [cell, gene]; its values are loaded as stored, sparse or dense, where they fit (`IN_MEMORY`).

    `space` is what X holds; None detects it from a sample: whole numbers are counts, values of which a fifth is negative are
    z-scores, all else natural logarithms (scanpy's `log1p`). Raises `DataError` for a file that cannot be read, missing
    columns or labels, genes named twice, or values that are none of these.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected an h5ad file.")
    try:
        file = ad.read_h5ad(path, backed="r")
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is not a readable h5ad file ({type(error).__name__}: {error}).") from error
    genes = file.var_names.astype(str)
    if not genes.is_unique:
        raise DataError(f"{path}: gene '{genes[genes.duplicated()][0]}' occurs more than once; make gene names unique.")
    obs = _labels(file.obs, labels, path)
    values = _values(file, path)
    rows = LazyRows(values, np.arange(len(genes)), space or tell_space(values, str(path)), str(path))
    return CellFile(path.name, obs, genes, rows)


def predict_from(prediction: CellFile, context: str, perturbation: str) -> Prediction | None:
    """Read what a file predicts for a condition: cells, or one row as a mean profile; None where there is nothing.

    Raises `DataError` for values that are NaN or infinite.
    """
    where = prediction.positions(context, perturbation)
    if not len(where):
        return None
    return Prediction(prediction.X[where].toarray(), unit="mean" if len(where) == 1 else "cell")


def _values(file: ad.AnnData, path: Path) -> Any:
    """Values of a file as stored: in memory where they fit, because rows scattered over a file are slow to read."""
    if file.X is None or not file.n_obs:
        raise DataError(f"{path} has no values in X.")
    stored = file.file["X"]
    parts = [stored] if isinstance(stored, h5py.Dataset) else [stored["data"], stored["indices"]]
    if sum(part.size * part.dtype.itemsize for part in parts) > IN_MEMORY:
        return file.X
    values = ad.io.read_elem(stored)
    file.file.close()
    return values.tocsr() if sp.issparse(values) else values


def _labels(obs: pd.DataFrame, labels: Labels, path: Path) -> pd.DataFrame:
    for column in filter(None, (labels.perturbation, labels.context)):
        if column not in obs:
            raise DataError(
                f"{path}: obs has no column '{column}'; it has {', '.join(map(str, obs.columns)) or 'none'}. Name the "
                "columns of the labels with --perturbation-key and --context-key."
            )
        empty = obs[column].isna() | (obs[column].astype(str) == "")
        if empty.any():
            raise DataError(f"{path}: obs['{column}'] is empty for {int(empty.sum())} cells; label every cell.")
    raw = obs[labels.perturbation].astype(str).to_numpy()
    if labels.control != CONTROL and CONTROL in raw:
        raise DataError(
            f"{path}: {int((raw == CONTROL).sum())} cells are labelled '{CONTROL}', but --control is '{labels.control}'. Is "
            f"--control right? A perturbation cannot be named '{CONTROL}'."
        )
    names = {label: condition_name(label, labels.separator) for label in set(raw)} | {labels.control: CONTROL}
    perturbation = np.array([names[label] for label in raw], dtype=object)
    context = obs[labels.context].astype(str).to_numpy() if labels.context else np.full(len(obs), "all", dtype=object)
    return pd.DataFrame({"context": context, "perturbation": perturbation}, index=obs.index.astype(str))


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
    if truth.X.space != other.X.space:
        raise DataError(
            f"{other.name} holds {other.X.space}, {truth.name} {truth.X.space}, in the words of --space. Bring both to one "
            "space, or give --space where the detected one is wrong."
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
    """Make every perturbation of the truth a test condition, controls split in I and R; also says what was left out and why.

    Raises `DataError` for a context with fewer than `MIN_CELLS` controls, or where no condition is left.
    """
    found, notes = [], []
    for context in sorted(set(truth.obs["context"])):
        controls = truth.positions(context, CONTROL)
        if len(controls) < MIN_CELLS:
            raise DataError(
                f"{truth.name}: context {context} has {len(controls)} control cells; at least {MIN_CELLS} are needed, "
                "half as input and half as reference. Is --control right?"
            )
        start = _halves(controls, derive(seed, "controls", context))
        here = truth.obs.loc[truth.obs["context"] == context, "perturbation"]
        for perturbation in sorted(set(here) - {CONTROL}):
            cells = truth.positions(context, perturbation)
            if len(cells) < MIN_CELLS:
                notes.append(f"{context}/{perturbation} left out: {len(cells)} true cells, {MIN_CELLS} are needed")
            else:
                halves = _halves(cells, derive(seed, "cells", context, perturbation))
                found.append(TestCondition(context, perturbation, *start, *halves))
    if not found:
        raise DataError(f"{truth.name}: no condition with at least {MIN_CELLS} cells beside the control.")
    return Split("external", 0, False, np.array([], dtype=int), tuple(found), frozenset()), notes


def _halves(positions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array_split(np.random.default_rng(seed).permutation(positions), 2)
    return np.sort(first), np.sort(second)
