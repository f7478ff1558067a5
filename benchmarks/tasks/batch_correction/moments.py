"""Number, mean and spread of groups of cells, gene by gene, from cells that come in blocks."""

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
Group = tuple[str, ...]
"""What cells are grouped by: the batch, and the level of each covariate."""


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of a group of cells; a gene that does not vary in the group has exactly 0 in `squares`."""

    n: int
    mean: Float[Array, "gene"]
    squares: Float[Array, "gene"]
    """Sum over cells of the squared distance to the mean."""

    def joined(self, other: Moments) -> Moments:
        """Moments of both groups together.

        Source: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
        """
        n = self.n + other.n
        step = other.mean - self.mean
        mean = self.mean + step * (other.n / n)
        return Moments(n, mean, self.squares + other.squares + np.square(step) * (self.n * other.n / n))


class GroupMoments:
    """Moments of every group of cells, gathered in one pass over blocks; memory does not grow with the cells.

    Parameters
    ----------
    genes
        Names of the genes, the same in every block.
    """

    def __init__(self, genes: Sequence[str]) -> None:
        self.genes = tuple(genes)
        self.groups: dict[Group, Moments] = {}
        self._names = CellDigest()

    def add(self, x: Any, groups: Sequence[Group], names: Iterable[str]) -> None:
        """Add some cells.

        Parameters
        ----------
        x
            Expression [cell, gene], SciPy sparse or NumPy.
        groups
            Group of every cell.
        names
            Name of every cell, for `cells_digest`.

        Raises
        ------
        DataError
            Other genes than announced, a group missing for a cell, or values that are not finite.
        """
        codes, uniques = pd.factorize(_objects(groups))
        if x.shape != (len(codes), len(self.genes)):
            raise DataError(
                f"A block has {x.shape[0]} cells × {x.shape[1]} genes and {len(codes)} group labels; expected "
                f"{len(self.genes)} genes and one label a cell."
            )
        if (codes < 0).any():
            raise DataError(f"{int((codes < 0).sum())} cells have no batch; label every cell.")
        csr = summed_csr(x)
        if not np.isfinite(csr.data).all():
            raise DataError("A block has NaN or infinite values; remove or impute them before integration.")
        order = np.argsort(codes, kind="stable")
        for code, rows in enumerate(np.split(order, np.cumsum(np.bincount(codes))[:-1])):
            mean, squares = _mean_and_squares(csr.data, csr.indices, csr.indptr, rows, len(self.genes))
            found = Moments(len(rows), mean, squares)
            known = self.groups.get(uniques[code])
            self.groups[uniques[code]] = known.joined(found) if known else found
        self._names.add(names)

    @property
    def cells_digest(self) -> str:
        """Which cells were added, whatever their order."""
        return self._names.value


class CellDigest:
    """Hash of a set of cell names that does not depend on their order and needs no memory of them."""

    def __init__(self) -> None:
        self._sum = 0
        self._n = 0

    def add(self, names: Iterable[str]) -> None:
        """Add some names."""
        for name in names:
            self._sum += int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=32).digest(), "big")
            self._n += 1

    @property
    def value(self) -> str:
        """The number of names, and the sum of their hashes modulo 2²⁵⁶ in hexadecimal."""
        return f"{self._n}:{self._sum % 2**256:064x}"


def digest_of(names: Iterable[str]) -> str:
    """Hash a set of cell names; see `CellDigest`."""
    digest = CellDigest()
    digest.add(names)
    return digest.value


def summed_csr(x: Any) -> sp.csr_matrix:
    """Cells as CSR with one entry a gene; x itself is left as it is."""
    csr = sp.csr_matrix(x)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _objects(groups: Sequence[Group]) -> Array:
    """Labels as one array of objects, so that a tuple stays one label."""
    return np.fromiter(groups, dtype=object, count=len(groups))


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
