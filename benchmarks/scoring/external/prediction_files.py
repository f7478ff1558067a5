"""Predictions and truth in h5ad files of any tool, brought to one form and read one condition at a time."""

from __future__ import annotations

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

IN_MEMORY = 2 << 30
"""Bytes up to which a file's values are read at once, as stored; of larger files rows are read when they are needed."""


@dataclass(frozen=True)
class Labels:
    """Names of the obs columns, of the control and of the separator of combinations."""

    perturbation: str = "perturbation"
    context: str | None = None
    control: str = CONTROL
    separator: str = "+"


class LazyRows:
    """Rows of a file's matrix, in the truth's gene order and log2 units, converted as they are taken."""

    def __init__(self, matrix: Any, columns: np.ndarray, space: Space, source: str) -> None:
        self.matrix, self.columns, self.space, self.source = matrix, columns, space, source
        self.reordered = not np.array_equal(columns, np.arange(matrix.shape[1]))

    def __getitem__(self, positions: np.ndarray) -> sp.csr_matrix:
        rows = sp.csr_matrix(self.matrix[np.asarray(positions)], dtype=np.float32)
        if not np.isfinite(rows.data).all():
            raise DataError(
                f"{self.source}: {int((~np.isfinite(rows.data)).sum())} NaN or infinite values in X; give finite numbers."
            )
        # counts are scaled over the genes that are compared, because files with different genes have different totals
        rows = rows[:, self.columns] if self.reordered else rows
        try:
            return convert(rows, self.space)
        except DataError as error:
            raise DataError(f"{self.source}: {error}") from error


@dataclass(frozen=True)
class CellFile:
    """Cells of one file: labels in memory, values too where they fit."""

    name: str
    obs: pd.DataFrame
    """Columns context, perturbation, is_control."""
    var_names: pd.Index
    X: LazyRows
    space: Space

    def positions(self, context: str, perturbation: str) -> np.ndarray:
        """Positions of a condition's cells."""
        return self._places.get((context, perturbation), np.array([], dtype=np.int64))

    @cached_property
    def _places(self) -> dict[tuple[str, str], np.ndarray]:
        """(context, perturbation) → positions, ascending."""
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
        rows = LazyRows(self.X.matrix, self.X.columns[place], self.X.space, self.X.source)
        return replace(self, var_names=genes, X=rows)


def read_cells(path: Path, labels: Labels, space: Space | None = None) -> CellFile:
    """Open an h5ad file [cell, gene]; its values are loaded as stored, sparse or dense, where they fit (`IN_MEMORY`).

    Parameters
    ----------
    path, labels
        The file, and how its obs columns are named.
    space
        What X holds; None detects it from a sample: whole numbers are counts, values of which a fifth is negative are
        z-scores, all else natural logarithms (scanpy's `log1p`).

    Raises
    ------
    DataError
        No such file, not readable, missing columns or labels, genes named twice, or values that are none of these.
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
    found = space or tell_space(values, str(path))
    return CellFile(path.name, obs, genes, LazyRows(values, np.arange(len(genes)), found, str(path)), found)


def predict_from(prediction: CellFile, context: str, perturbation: str) -> Prediction | None:
    """Read what a file predicts for a condition: cells, or one row as a mean profile; None where there is nothing.

    Raises `DataError` for values that are NaN or infinite.
    """
    where = prediction.positions(context, perturbation)
    if not len(where):
        return None
    values = prediction.X[where].toarray()
    return Prediction(values, unit="mean" if len(values) == 1 else "cell")


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
    needed = [labels.perturbation, *([labels.context] if labels.context else [])]
    missing = [c for c in needed if c not in obs]
    if missing:
        raise DataError(
            f"{path}: obs has no column '{missing[0]}'; it has {', '.join(map(str, obs.columns)) or 'none'}. Name the "
            "columns of the labels with --perturbation-key and --context-key."
        )
    for column in needed:
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
    return pd.DataFrame(
        {"context": context, "perturbation": perturbation, "is_control": perturbation == CONTROL},
        index=obs.index.astype(str),
    )
