"""What ComBat estimated: applied to any cells of the batches it knows, and kept on disk."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True)
class Design:
    """Covariates as indicator columns; the first level of each covariate in alphabetical order has none."""

    covariates: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """"covariate=level", one a column."""
    baselines: tuple[str, ...] = ()
    """Level of every covariate that has no column."""

    @classmethod
    def of(cls, covariates: Sequence[str], seen: Iterable[tuple[str, ...]]) -> Design:
        """Lay out the columns of the combinations of levels that occur."""
        levels = [sorted(set(values)) for values in zip(*seen, strict=True)]
        columns = [f"{c}={v}" for c, values in zip(covariates, levels, strict=True) for v in values[1:]]
        return cls(tuple(covariates), tuple(columns), tuple(values[0] for values in levels))

    def row(self, levels: Sequence[str]) -> Float[Array, "column"]:
        """Indicator row of one combination of levels; raises `DataError` for a level that was not estimated."""
        row = np.zeros(len(self.columns))
        for covariate, baseline, level in zip(self.covariates, self.baselines, levels, strict=True):
            if level == baseline:
                continue
            if f"{covariate}={level}" not in self.columns:
                raise DataError(
                    f"Covariate {covariate} has the level '{level}', which no cell had that ComBat was estimated from; "
                    f"known: {baseline}, {', '.join(self.columns)}. Estimate from cells of this level too."
                )
            row[self.columns.index(f"{covariate}={level}")] = 1.0
        return row


@dataclass(frozen=True)
class Combat:
    """ComBat's parameters: a corrected value is (x − m − σγ) / δ + m, where m is what the reference expects."""

    genes: tuple[str, ...]
    batches: tuple[str, ...]
    reference: str
    n_cells: Int[Array, "batch"]
    """Cells every batch was estimated from."""
    mean: Float[Array, "gene"]
    """Mean of the reference batch (at the covariates' baseline)."""
    variance: Float[Array, "gene"]
    """Variance σ² of the reference batch; 0 marks a gene that does not vary there and is left as it comes."""
    shift: Float[Array, "batch gene"]
    """Additive effect γ*, in units of σ; 0 for the reference."""
    scale: Float[Array, "batch gene"]
    """Multiplicative effect on the variance δ²*; 1 for the reference."""
    design: Design
    slopes: Float[Array, "column gene"]
    """Effects of the covariates, which are kept."""
    cells_digest: str
    """Which cells it was estimated from (`moments.digest_of` of their names)."""

    @property
    def untouched(self) -> tuple[str, ...]:
        """Genes that do not vary in the reference and are left as they come."""
        return tuple(gene for gene, v in zip(self.genes, self.variance, strict=True) if v == 0)

    def apply(
        self, x: Any, batches: Sequence[str], covariates: pd.DataFrame | None = None
    ) -> Float[Array, "cell gene"]:
        """Correct any cells of batches that were estimated.

        Parameters
        ----------
        x
            Expression [cell, gene] in the space of the estimates, SciPy sparse or NumPy; zeros do not stay zeros.
        batches
            Batch of every cell.
        covariates
            Their covariates [cell], where the estimates have any.

        Returns
        -------
        numpy.ndarray
            Corrected expression [cell, gene], dense, in the precision of x.

        Raises
        ------
        DataError
            A batch or covariate level without estimates, or another number of genes or cells.
        """
        csr = summed_csr(x)
        if csr.shape != (len(batches), len(self.genes)):
            raise DataError(
                f"Cells have shape {csr.shape} with {len(batches)} batch labels; expected one label a cell and the "
                f"{len(self.genes)} genes that ComBat was estimated on."
            )
        self.check_batches(batches)
        out = np.empty(csr.shape, dtype=np.float32 if csr.dtype == np.float32 else np.float64)
        for (batch, *levels), rows in self._groups(batches, covariates):
            factor, offset = self._affine(batch, levels)
            _scatter(csr.data, csr.indices, csr.indptr, rows, factor, offset, out)
        return out

    def check_batches(self, batches: Iterable[str]) -> None:
        """Raise `DataError` if a batch has no estimates."""
        unknown = sorted(set(map(str, batches)) - set(self.batches))
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise DataError(
                f"Batch '{unknown[0]}'{more} has no training or control cell, so its effect was not estimated and its "
                f"cells cannot be corrected; {len(self.batches)} batches were. Choose batches that hold controls."
            )

    def save(self, path: Path) -> None:
        """Write the parameters (`.npz`), whole or not at all; raises `StoreError`."""
        with atomic_files.atomic(path) as handle:
            np.savez(
                handle,
                genes=np.array(self.genes, dtype=str),
                batches=np.array(self.batches, dtype=str),
                reference=np.array(self.reference),
                n_cells=self.n_cells,
                mean=self.mean,
                variance=self.variance,
                shift=self.shift,
                scale=self.scale,
                covariates=np.array(self.design.covariates, dtype=str),
                columns=np.array(self.design.columns, dtype=str),
                baselines=np.array(self.design.baselines, dtype=str),
                slopes=self.slopes,
                cells_digest=np.array(self.cells_digest),
            )

    @classmethod
    def load(cls, path: Path) -> Combat:
        """Read what `save` wrote; raises `DataError` for anything else."""
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as found:
                table = {name: found[name] for name in found.files}
            design = Design(*(tuple(table.pop(n).tolist()) for n in ("covariates", "columns", "baselines")))
            genes, batches = (tuple(table.pop(n).tolist()) for n in ("genes", "batches"))
            reference, cells_digest = (str(table.pop(n)) for n in ("reference", "cells_digest"))
            return cls(
                genes=genes,
                batches=batches,
                reference=reference,
                cells_digest=cells_digest,
                design=design,
                **table,
            )
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} holds no ComBat parameters ({type(error).__name__}: {error}); fit them anew."
            ) from error

    def _groups(
        self, batches: Sequence[str], covariates: pd.DataFrame | None
    ) -> Iterable[tuple[tuple[str, ...], Array]]:
        """Every batch and combination of levels that occurs, with the rows of its cells."""
        table = pd.DataFrame({"": np.asarray(batches, dtype=str)})
        for name in self.design.covariates:
            if covariates is None or name not in covariates:
                raise DataError(f"ComBat was estimated with the covariate '{name}'; give it for these cells too.")
            table[name] = covariates[name].astype(str).to_numpy()
        for key, rows in table.groupby(list(table.columns), sort=False).indices.items():
            yield (key if isinstance(key, tuple) else (key,)), rows

    def _affine(self, batch: str, levels: Sequence[str]) -> tuple[Array, Array]:
        """Factor and offset [gene] that correct a cell of this batch and these levels."""
        place = self.batches.index(batch)
        expected = self.mean + self.design.row(levels) @ self.slopes
        factor = 1 / np.sqrt(self.scale[place])
        offset = expected - factor * (expected + np.sqrt(self.variance) * self.shift[place])
        return factor, offset


@njit(nogil=True, cache=True)
def _scatter(data, indices, indptr, rows, factor, offset, out):  # type: ignore[no-untyped-def]
    """Write factor · x + offset of some rows of a CSR matrix into a dense one."""
    for row in rows:
        for gene in range(len(offset)):
            out[row, gene] = offset[gene]
        for k in range(indptr[row], indptr[row + 1]):
            gene = indices[k]
            out[row, gene] = factor[gene] * data[k] + offset[gene]
