"""Integration inside a run: one set of parameters a fold, from its training cells alone, applied when cells are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.errors import DataError
from benchmarks.tasks.batch_correction.batches import Method, choose_reference, label_batches
from benchmarks.tasks.batch_correction.combat import fit
from benchmarks.tasks.batch_correction.parameters import Combat
from benchmarks.tasks.leakage import audit_parameters
from benchmarks.tasks.splits import Split

BLOCK = 4096
"""Cells corrected at a time."""


@dataclass(frozen=True)
class Integration:
    """How the cells of a run are integrated."""

    method: Method
    study: str
    """Name of the data set."""
    reference: str
    """The batch that all others are brought to, the same in every fold."""

    @classmethod
    def of(cls, method: Method, study: str, reference: str | None, obs: pd.DataFrame) -> Integration:
        """Settle on a reference: the one named, else the batch with the most controls.

        Raises
        ------
        DataError
            No cell is in the batch that was named, or there is no control.
        """
        batches = label_batches(obs, method, study)
        if reference is None:
            return cls(method, study, choose_reference(batches, obs["is_control"]))
        if reference not in set(batches):
            raise DataError(
                f"--reference '{reference}' is no batch of {study}; expected one of {_some(sorted(set(batches)))}."
            )
        return cls(method, study, reference)

    def batches(self, obs: pd.DataFrame) -> pd.Series:
        """Batch of every cell."""
        return label_batches(obs, self.method, self.study)

    def check(self, obs: pd.DataFrame, splits: Iterable[Split]) -> None:
        """Raise `DataError` if in some fold the batch of a test cell has no training cell to be estimated from."""
        batches = self.batches(obs).to_numpy()
        for split in splits:
            known = set(batches[split.train])
            unknown = sorted({self.reference, *batches[split.tested]} - known)
            if unknown:
                raise DataError(
                    f"--integration {self.method}: in fold {split.fold} of {split.protocol}, {len(unknown)} batch(es) have "
                    f"test cells and no training cell, such as '{unknown[0]}'. Their effect could only be estimated from "
                    "what is to be predicted. Choose 'technical', or a protocol that trains on cells of every condition: "
                    "held_out_cells, or resampled as the paper has it."
                )

    def path(self, run: Path, split: Split) -> Path:
        """Where the parameters of a fold are kept."""
        return run / "integration" / f"{split.protocol}-fold{split.fold}.npz"

    def prepare(self, run: Path, split: Split, cells: AnnData) -> Combat:
        """Estimate a fold's parameters from its training cells and keep them."""
        batches = self.batches(cells.obs).to_numpy()
        parts = np.array_split(split.train, -(-len(split.train) // BLOCK))
        parameters = fit(((cells[rows], batches[rows]) for rows in parts), self.reference)
        parameters.save(self.path(run, split))
        return parameters

    def read(self, run: Path, split: Split, cells: AnnData) -> AnnData:
        """Correct cells with the parameters kept for a fold.

        Raises
        ------
        LeakageError
            They were estimated from other cells than the fold's training cells.
        DataError
            There are none.
        """
        parameters = Combat.load(self.path(run, split))
        audit_parameters(parameters.cells_digest, split, cells)
        batches = self.batches(cells.obs).to_numpy()
        parts = [
            sp.csr_matrix(parameters.apply(cells.X[first : first + BLOCK], batches[first : first + BLOCK]))
            for first in range(0, cells.n_obs, BLOCK)
        ]
        return AnnData(X=sp.vstack(parts, format="csr"), obs=cells.obs, var=cells.var)


def _some(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
