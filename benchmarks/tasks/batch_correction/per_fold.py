"""Batch correction in a run: parameters of each fold from its training cells, applied when cells are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.errors import DataError, UnknownName
from benchmarks.tasks.batch_correction.batches import Method, choose_reference, label_batches
from benchmarks.tasks.batch_correction.combat import Combat, fit
from benchmarks.tasks.leakage import audit_parameters
from benchmarks.tasks.protocol import list_protocols
from benchmarks.tasks.splits import Split

BLOCK = 4096
"""Cells corrected at a time."""


@dataclass(frozen=True)
class BatchCorrection:
    """How the batches of a run are corrected (option `--integration`)."""

    method: Method
    study: str
    """Name of the data set."""
    reference: str
    """The batch that all others are corrected to, the same in every fold."""

    @classmethod
    def of(cls, method: Method, study: str, reference: str | None, obs: pd.DataFrame) -> BatchCorrection:
        """Choose the reference: the one named, else the batch with the most controls.

        Raises
        ------
        UnknownName, DataError
            No cell is in the batch that was named, or there is no control.
        """
        batches = label_batches(obs, method, study)
        if reference is None:
            return cls(method, study, choose_reference(batches, obs["is_control"]))
        if reference not in set(batches):
            raise UnknownName(f"batch of {study} (--reference)", reference, set(batches))
        return cls(method, study, reference)

    def batches(self, obs: pd.DataFrame) -> pd.Series:
        """Return the batch of every cell."""
        return label_batches(obs, self.method, self.study)

    def check(self, obs: pd.DataFrame, splits: Iterable[Split]) -> None:
        """Raise `DataError` if the reference or the batch of a test cell has no training cells in some fold."""
        batches = self.batches(obs).to_numpy()
        for split in splits:
            known = set(batches[split.train])
            unknown = sorted({self.reference, *batches[split.tested]} - known)
            if unknown:
                raise DataError(
                    f"--integration {self.method}: in fold {split.fold} of {split.protocol}, {len(unknown)} batch(es), such "
                    f"as '{unknown[0]}', have no training cells, so their effect could only be estimated from what is to be "
                    "predicted. Choose --integration technical, or a --protocol that trains on cells of every condition "
                    f"({', '.join(p.name for p in list_protocols().values() if p.hides is None)})."
                )

    def path(self, run: Path, split: Split) -> Path:
        """Return the file with the parameters of a fold."""
        return run / "integration" / f"{split.protocol}-fold{split.fold}.npz"

    def prepare(self, run: Path, split: Split, cells: AnnData) -> Combat:
        """Estimate the parameters of a fold from its training cells and save them."""
        batches = self.batches(cells.obs).to_numpy()
        parts = np.array_split(split.train, -(-len(split.train) // BLOCK))
        parameters = fit(((cells[rows], batches[rows]) for rows in parts), self.reference)
        parameters.save(self.path(run, split))
        return parameters

    def read(self, run: Path, split: Split, cells: AnnData) -> AnnData:
        """Correct cells with the saved parameters of a fold.

        Raises
        ------
        LeakageError
            The parameters were estimated from other cells than the fold's training cells.
        DataError
            There are no saved parameters.
        """
        parameters = Combat.load(self.path(run, split))
        audit_parameters(parameters.cells_digest, split, cells)
        batches = self.batches(cells.obs).to_numpy()
        parts = [
            sp.csr_matrix(parameters.apply(cells.X[first : first + BLOCK], batches[first : first + BLOCK]))
            for first in range(0, cells.n_obs, BLOCK)
        ]
        return AnnData(X=sp.vstack(parts, format="csr"), obs=cells.obs, var=cells.var)
