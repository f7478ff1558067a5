"""Parameters that ComBat estimated: applied to cells, saved and loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numba import njit

from benchmarks.data.store import atomic_files
from benchmarks.errors import DataError
from benchmarks.tasks.batch_correction.moments import summed_csr

Array = np.ndarray
UNUSED = ("covariates", "columns", "baselines", "slopes")
"""Fields of the file for covariates, of which there are none."""


@dataclass(frozen=True)
class Combat:
    """ComBat's parameters: a corrected value is (x − m − σγ) / δ + m, with the mean m of the reference."""

    genes: tuple[str, ...]
    batches: tuple[str, ...]
    reference: str
    n_cells: Int[Array, "batch"]
    """Cells that each batch was estimated from."""
    mean: Float[Array, "gene"]
    """Mean of the reference batch."""
    variance: Float[Array, "gene"]
    """Variance σ² of the reference batch; a gene with 0 is not corrected."""
    shift: Float[Array, "batch gene"]
    """Additive effect γ*, in units of σ; 0 for the reference."""
    scale: Float[Array, "batch gene"]
    """Multiplicative effect on the variance δ²*; 1 for the reference."""
    cells_digest: str
    """Hash of the names of the cells that it was estimated from (`moments.digest_of`)."""

    @property
    def untouched(self) -> tuple[str, ...]:
        """Genes that do not vary in the reference and are not corrected."""
        return tuple(gene for gene, v in zip(self.genes, self.variance, strict=True) if v == 0)

    def apply(self, x: Any, batches: Sequence[str]) -> Float[Array, "cell gene"]:
        """Correct cells of known batches.

        Parameters
        ----------
        x
            Expression [cell, gene] in the space of the estimates, SciPy sparse or NumPy; zeros do not stay zeros.
        batches
            Batch of every cell.

        Returns
        -------
        numpy.ndarray
            Corrected expression [cell, gene], dense, in the precision of x.

        Raises
        ------
        DataError
            A batch without estimates, or another number of genes or cells.
        """
        csr = summed_csr(x)
        if csr.shape != (len(batches), len(self.genes)):
            raise DataError(
                f"Cells have shape {csr.shape} with {len(batches)} batch labels; expected one label a cell and the "
                f"{len(self.genes)} genes that ComBat was estimated on."
            )
        codes, labels = pd.factorize(np.asarray(batches, dtype=str))
        unknown = sorted(set(labels) - set(self.batches))
        if unknown:
            raise DataError(
                f"{len(unknown)} batch(es), such as '{unknown[0]}', have no training or control cell, so their effect was "
                f"not estimated ({len(self.batches)} were). Choose batches with controls."
            )
        out = np.empty(csr.shape, dtype=np.float32 if csr.dtype == np.float32 else np.float64)
        for code, batch in enumerate(labels):
            place = self.batches.index(batch)
            factor = 1 / np.sqrt(self.scale[place])
            offset = self.mean - factor * (self.mean + np.sqrt(self.variance) * self.shift[place])
            _scatter(csr.data, csr.indices, csr.indptr, np.flatnonzero(codes == code), factor, offset, out)
        return out

    def save(self, path: Path) -> None:
        """Write the parameters (`.npz`), whole or not at all; raises `StoreError`."""
        unused = dict.fromkeys(UNUSED, np.array((), dtype=str)) | {"slopes": np.zeros((0, len(self.genes)))}
        with atomic_files.atomic(path) as handle:
            np.savez(handle, **{name: np.asarray(value) for name, value in (vars(self) | unused).items()})

    @classmethod
    def load(cls, path: Path) -> Combat:
        """Read parameters from a file; raises `DataError` if it is missing or not valid."""
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as found:
                table = {name: found[name] for name in found.files if name not in UNUSED}
            names = {name: tuple(table.pop(name).tolist()) for name in ("genes", "batches")}
            texts = {name: str(table.pop(name)) for name in ("reference", "cells_digest")}
            return cls(**names, **texts, **table)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} holds no ComBat parameters ({type(error).__name__}: {error}); delete it and run again."
            ) from error


@njit(nogil=True, cache=True)
def _scatter(data, indices, indptr, rows, factor, offset, out):  # type: ignore[no-untyped-def]
    """Write factor · x + offset of some rows of a CSR matrix into a dense one."""
    for row in rows:
        for gene in range(len(offset)):
            out[row, gene] = offset[gene]
        for k in range(indptr[row], indptr[row + 1]):
            gene = indices[k]
            out[row, gene] = factor[gene] * data[k] + offset[gene]
