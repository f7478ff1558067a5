"""Number, mean and spread of each batch, gene by gene, from blocks of cells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float
from numba import njit

from benchmarks.errors import DataError

Array = np.ndarray


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
    """Compute the moments of each batch of some cells.

    Parameters
    ----------
    x
        Expression [cell, gene], SciPy sparse or NumPy.
    batches
        Batch of every cell.

    Raises
    ------
    DataError
        Values that are not finite.
    """
    codes, labels = pd.factorize(np.asarray(batches, dtype=object))
    csr = summed_csr(x)
    if not np.isfinite(csr.data).all():
        raise DataError("A block has NaN or infinite values; remove or impute them before integration.")
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
