"""Batches of cells, the reference, batches confounded with contexts, and the correction of each fold of a run.

A fold's parameters are estimated from its training cells, and applied when cells are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy.sparse.csgraph import connected_components

from benchmarks.contract import CONTROL
from benchmarks.data.cell_table import CellTable, View, blocks
from benchmarks.errors import DataError, UnknownName
from benchmarks.tasks.batch_correction.combat import Combat, fit
from benchmarks.tasks.leakage import audit_parameters
from benchmarks.tasks.protocol import list_protocols
from benchmarks.tasks.splits import Split

Method = Literal["none", "technical", "per_condition"]
METHODS: tuple[Method, ...] = get_args(Method)
SEPARATOR = " × "
MEANING = {
    "none": "Cells are not corrected.",
    "technical": (
        "ComBat over study × context × replicate: every such batch is shifted and scaled to the reference. This removes "
        "technical effects, and all other differences between the batches of different contexts. All cells of a batch, "
        "controls and perturbed alike, are corrected by the same line, so the effect of a perturbation inside its batch "
        "survives, scaled gene by gene."
    ),
    "per_condition": (
        "ComBat with one batch a condition, as in section 2.2 of the CycSeq paper (4,728 batches): the mean and the "
        "variance of every perturbation's cells are shifted and scaled to the reference. This removes the very effect "
        "that is to be predicted, up to the shrinkage of the estimates. For reproducing the paper only."
    ),
}
"""Method → what it does to the data, for reports."""
BLOCK = 4096
"""Cells corrected at a time."""


def label_batches(obs: pd.DataFrame, method: Method, study: str) -> pd.Series:
    """Return the name of every cell's batch.

    Batches are study × context × replicate (obs["batch"]), and under "per_condition" also × perturbation × dose.
    """
    parts = [obs["context"].astype(str), obs["batch"].astype(str)]
    if method == "per_condition":
        doses = obs["dose"].map(lambda dose: "" if np.isnan(dose) else f"{dose:g} nM")
        parts += [obs["perturbation"].astype(str), doses]
    label = pd.Series(study, index=obs.index, dtype=object)
    for part in parts:
        label = label + np.where(part == "", "", SEPARATOR + part)
    return label


def confounding(obs: pd.DataFrame, batches: Iterable[str], reference: str) -> pd.DataFrame:
    """Find the batches whose effect is confounded with that of their context, from the cells that are learnt from.

    A batch is separable if a chain of batches with contexts in common leads from it to the reference. Otherwise the
    correction of the batch removes the effect of its context too.

    Returns
    -------
    pd.DataFrame
        Indexed by batch: `n_cells`, `n_controls`, `levels` (its contexts, joined by ", "), `separable`.
    """
    batch = pd.Series(list(batches), dtype=object, name="batch")
    counts = pd.crosstab(batch, obs["context"].astype(str).to_numpy())
    edges = sp.bmat([[None, counts.to_numpy()], [counts.to_numpy().T, None]])  # between batches and contexts
    component = connected_components(edges, directed=False)[1][: len(counts)]
    return pd.DataFrame(
        {
            "n_cells": counts.sum(axis=1),
            "n_controls": pd.Series((obs["perturbation"] == CONTROL).to_numpy()).groupby(batch).sum(),
            "levels": [", ".join(counts.columns[row > 0]) for row in counts.to_numpy()],
            "separable": component == component[counts.index.get_loc(reference)],
        }
    )


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
        """Choose the reference: the one named, else the batch with the most controls, then the most cells, then the first name.

        Raises `UnknownName` where no cell is in the batch that was named.
        """
        counts = obs["is_control"].groupby(label_batches(obs, method, study), sort=True).agg(["sum", "size"])
        if reference is None:
            reference = str(counts.sort_values(["sum", "size"], ascending=False, kind="stable").index[0])
        elif reference not in counts.index:
            raise UnknownName(f"batch of {study} (--reference)", reference, counts.index)
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

    def prepare(self, run: Path, split: Split, cells: CellTable) -> Combat:
        """Estimate the parameters of a fold from its training cells and save them."""
        batches, genes = self.batches(cells.obs).to_numpy(), pd.DataFrame(index=cells.var_names)
        labels = cells.obs[[]]
        found = ((AnnData(x, labels.iloc[rows], genes), batches[rows]) for rows, x in blocks(cells, split.train))
        parameters = fit(found, self.reference)
        parameters.save(self.path(run, split))
        return parameters

    def read(self, run: Path, split: Split, cells: CellTable) -> CellTable:
        """Correct cells, as they are read, with the saved parameters of a fold.

        Raises `DataError` where there are none, and `LeakageError` where they are not from the fold's training cells.
        """
        parameters = Combat.load(self.path(run, split))
        audit_parameters(parameters.cells_digest, split, cells)
        batches = self.batches(cells.obs).to_numpy()

        def corrected(x: sp.csr_matrix, positions: np.ndarray) -> sp.csr_matrix:
            parts = [
                sp.csr_matrix(parameters.apply(x[first : first + BLOCK], batches[positions[first : first + BLOCK]]))
                for first in range(0, max(1, x.shape[0]), BLOCK)
            ]
            return sp.vstack(parts, format="csr")

        return View(cells, cells.obs, np.arange(len(cells.obs)), change=corrected)
