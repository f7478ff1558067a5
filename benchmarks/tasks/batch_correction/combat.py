"""ComBat with a reference batch: parametric empirical Bayes, estimated from the moments of every batch.

ComBat's estimates follow from the number, mean and variance of the cells of each batch, so one pass over blocks of cells
is enough. Variances are divided by n as in inmoose's `pycombat_norm`, the reference of the tests (R's sva divides by n − 1,
except for the pooled variance). Two rules are added: a gene that does not vary in the reference cannot be standardised and
is not corrected; a batch without any variance, such as a single cell, is shifted and not scaled.

| paper | here |
| --- | --- |
| α | `mean` of the reference |
| σ² | `variance` of the reference |
| γ*, δ²* | `shift`, `scale` of a batch, in units of σ and σ² |

Source: Johnson, Li & Rabinovic 2007, doi:10.1093/biostatistics/kxj037, section 3; reference batch: Zhang, Jenkins,
Manimaran & Johnson 2018, doi:10.1186/s12859-018-2263-6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from jaxtyping import Float
from numba import njit

from benchmarks.data.store import checked_arrays
from benchmarks.errors import DataError

Array = np.ndarray
TOLERANCE = 1e-4
"""Relative change between rounds at which the estimates of a batch have converged, as in sva and inmoose."""
MOST_ROUNDS = 10_000


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of a group of cells; `squares` of a gene that does not vary is exactly 0."""

    n: int
    mean: Float[Array, "gene"]
    squares: Float[Array, "gene"]
    """Sum over cells of the squared distance to the mean."""

    def joined(self, other: Moments) -> Moments:
        """Return the moments of both groups together.

        Source: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
        """
        n = self.n + other.n
        step = other.mean - self.mean
        mean = self.mean + step * (other.n / n)
        return Moments(n, mean, self.squares + other.squares + np.square(step) * (self.n * other.n / n))


def moments_by_batch(x: Any, batches: Sequence[str]) -> dict[str, Moments]:
    """Compute the moments of each batch from x [cell, gene], sparse or dense."""
    codes, labels = pd.factorize(np.asarray(batches, dtype=object))
    csr = summed_csr(x)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return {
        str(label): Moments(len(rows), *_mean_and_squares(csr.data, csr.indices, csr.indptr, rows, csr.shape[1]))
        for label, rows in zip(labels, parts, strict=True)
    }


def digest_of(names: Iterable[str]) -> str:
    """Hash a set of cell names in any order: their number, and the sum of their hashes modulo 2²⁵⁶ in hexadecimal."""
    hashes = [int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=32).digest(), "big") for name in names]
    return f"{len(hashes)}:{sum(hashes) % 2**256:064x}"


def summed_csr(x: Any) -> sp.csr_matrix:
    """Return x as CSR without duplicate entries; x itself does not change."""
    csr = sp.csr_matrix(x)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


@dataclass(frozen=True)
class Combat:
    """ComBat's parameters: a corrected value is (x − m − σγ) / δ + m, with the mean m of the reference."""

    genes: tuple[str, ...]
    batches: tuple[str, ...]
    reference: str
    mean: Float[Array, "gene"]
    """Mean of the reference batch."""
    variance: Float[Array, "gene"]
    """Variance σ² of the reference batch; a gene with 0 is not corrected."""
    shift: Float[Array, "batch gene"]
    """Additive effect γ*, in units of σ; 0 for the reference."""
    scale: Float[Array, "batch gene"]
    """Multiplicative effect on the variance δ²*; 1 for the reference."""
    cells_digest: str
    """Hash of the names of the cells that it was estimated from (`digest_of`)."""

    @property
    def untouched(self) -> tuple[str, ...]:
        """Genes that do not vary in the reference and are not corrected."""
        return tuple(gene for gene, v in zip(self.genes, self.variance, strict=True) if v == 0)

    def apply(self, x: Any, batches: Sequence[str]) -> Float[Array, "cell gene"]:
        """Correct cells, `x` in the space of the estimates, sparse or dense; the result is dense, in the precision of x.

        Raises `DataError` for a batch without estimates.
        """
        csr = summed_csr(x)
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
        """Write the parameters (`.npz`) with a digest, whole or not at all; raises `StoreError`."""
        checked_arrays.put(path, self)

    @classmethod
    def load(cls, path: Path) -> Combat:
        """Read parameters from a file; raises `DataError` if it is missing or not as it was written."""
        try:
            found = checked_arrays.get(path, cls)
        except (OSError, checked_arrays.Damaged) as error:
            raise DataError(f"{path} holds no ComBat parameters ({error}); delete it and run again.") from error
        if not isinstance(found, cls):
            raise DataError(f"{path} holds no ComBat parameters; delete it and run again.")
        return found


def fit(blocks: Iterable[tuple[AnnData, Sequence[str]]], reference: str) -> Combat:
    """Estimate ComBat's parameters from blocks of cells [cell, gene] that may be learnt from, with the batch of each cell.

    All blocks have the same genes, and all batches are corrected to the reference. Raises `DataError` for estimates that do
    not converge.
    """
    genes: tuple[str, ...] = ()
    moments: dict[str, Moments] = {}
    names: list[str] = []
    for cells, labels in blocks:
        genes = tuple(cells.var_names)
        for batch, found in moments_by_batch(cells.X, labels).items():
            moments[batch] = moments[batch].joined(found) if batch in moments else found
        names.extend(cells.obs_names)
    centre = moments[reference]
    varies = centre.squares > 0
    variance = np.where(varies, centre.squares / centre.n, 0.0)
    sd = np.sqrt(variance[varies])
    batches = sorted(moments)
    shift, scale = np.zeros((len(batches), len(genes))), np.ones((len(batches), len(genes)))
    for place, batch in enumerate(batches):
        if batch != reference and varies.any():
            found = moments[batch]
            means = (found.mean[varies] - centre.mean[varies]) / sd
            squares = found.squares[varies] / variance[varies]
            shift[place, varies], scale[place, varies] = shrink(Moments(found.n, means, squares))
    return Combat(
        genes=genes,
        batches=tuple(batches),
        reference=reference,
        mean=centre.mean,
        variance=variance,
        shift=shift,
        scale=scale,
        cells_digest=digest_of(names),
    )


def shrink(found: Moments) -> tuple[Array, Array]:
    """Return the empirical Bayes estimates of one batch, shift γ* and scale δ²* [gene], from its standardised moments.

    They are conditional posterior means under a normal prior for the shift and an inverse gamma prior for the scale, both
    with moments taken over genes. Raises `DataError` where they have not converged after `MOST_ROUNDS` rounds.
    """
    n, shift_hat, scale_hat = found.n, found.mean, found.squares / found.n
    centre, width = shift_hat.mean(), shift_hat.var()
    typical, spread = scale_hat.mean(), scale_hat.var()

    def shifted(scale: Array) -> Array:
        weight = n * width + scale
        top = n * width * shift_hat + scale * centre
        return np.divide(top, weight, out=np.full_like(top, centre), where=weight > 0)

    if spread == 0:  # the same variance in all genes, 0 in a batch that cannot be scaled
        scale = np.full_like(scale_hat, typical or 1.0)
        return shifted(scale), scale
    shape = 2 + typical**2 / spread
    rate = typical + typical**3 / spread
    shift, scale = shift_hat, scale_hat
    for _ in range(MOST_ROUNDS):
        old_shift, old_scale = shift, scale
        shift = shifted(old_scale)
        residual = found.squares + n * np.square(shift_hat - shift)
        scale = (residual / 2 + rate) / (n / 2 + shape - 1)
        if max(_change(shift, old_shift), _change(scale, old_scale)) <= TOLERANCE:
            return shift, scale
    raise DataError(
        f"ComBat's estimates of a batch of {n} cells have not converged after {MOST_ROUNDS} rounds; check its values."
    )


def _change(new: Array, old: Array) -> float:
    """Return the largest change relative to the old value; infinite for a change from 0.

    As in sva and inmoose, the change of a negative value is negative and does not count, so that estimates stop in the same
    round. A shift follows from its scale, and scales are positive.
    """
    step = np.abs(new - old)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(step == 0, 0.0, step / old).max())


@njit(nogil=True, cache=True)
def _scatter(data, indices, indptr, rows, factor, offset, out):  # type: ignore[no-untyped-def]
    """Write factor · x + offset of some rows of a CSR matrix into a dense one."""
    for row in rows:
        for gene in range(len(offset)):
            out[row, gene] = offset[gene]
        for k in range(indptr[row], indptr[row + 1]):
            gene = indices[k]
            out[row, gene] = factor[gene] * data[k] + offset[gene]


@njit(nogil=True, cache=True)
def _mean_and_squares(data, indices, indptr, rows, n_genes):  # type: ignore[no-untyped-def]
    """Mean and sum of squared deviations of some rows of a CSR matrix, in float64.

    Sums are taken of differences to the first of the cells, so that a gene without variation gives exactly 0.
    """
    n = len(rows)
    origin, sums, filled = np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes)
    for k in range(indptr[rows[0]], indptr[rows[0] + 1]):
        origin[indices[k]] = data[k]
    for row in rows:
        for k in range(indptr[row], indptr[row + 1]):
            gene = indices[k]
            sums[gene] += data[k] - origin[gene]
            filled[gene] += 1
    mean, squares = np.empty(n_genes), np.empty(n_genes)
    for gene in range(n_genes):
        mean[gene] = origin[gene] + (sums[gene] - (n - filled[gene]) * origin[gene]) / n
        squares[gene] = (n - filled[gene]) * mean[gene] ** 2
    for row in rows:
        for k in range(indptr[row], indptr[row + 1]):
            squares[indices[k]] += (data[k] - mean[indices[k]]) ** 2
    return mean, squares
