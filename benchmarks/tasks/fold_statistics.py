"""Statistics of a fold's training cells: number, mean and variance of every condition, in one pass over the cells.

Every condition is divided into two disjoint halves, which scoring compares and models get joined. Mean and squared deviations
are updated cell by cell over the stored values (Welford 1962, doi:10.1080/00401706.1962.10490022), and joined with the
zeros at the end (Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115). So the result does not depend on how the
cells are divided into blocks, and a gene that does not vary has a variance of exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from jaxtyping import Float, Int
from numba import njit

from benchmarks.data.cell_table import CellTable, blocks
from benchmarks.data.store import checked_arrays
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import Index
from benchmarks.training_data import LEVELS, Profiles, labels_of

Array = np.ndarray


@dataclass(frozen=True)
class FoldStatistics:
    """Moments of every training condition, in two disjoint halves of its cells; a half without cells holds zeros."""

    labels: pd.DataFrame
    """Context, perturbation and dose (nM, 0 for none) of every condition, sorted by these."""
    n: Int[Array, "half condition"]
    """Number of cells."""
    mean: Float[Array, "half condition gene"]
    """Mean of the values, float64."""
    squares: Float[Array, "half condition gene"]
    """Sum over cells of the squared distance to the mean, float64."""
    n_values: int
    """Number of values that all training cells hold, without zeros that are not stored."""

    def profiles(self) -> Profiles:
        """Join the halves: number of cells, mean and variance of every condition."""
        n = self.n.sum(axis=0)
        share = (self.n[1] / n)[:, None]
        step = self.mean[1] - self.mean[0]
        mean = self.mean[0] + step * share
        np.square(step, out=step)
        step *= self.n[0][:, None] * share
        step += self.squares[0]
        step += self.squares[1]
        step /= n[:, None]
        return Profiles(self.labels.assign(n_cells=n), mean, step)


def halve(labels: pd.DataFrame, seed: int) -> np.ndarray:
    """Put every training cell into half 0 or 1, so that both halves have cells of every condition that has two."""
    order = np.random.default_rng(derive(seed, "halves of the training cells")).permutation(len(labels))
    halves = np.empty(len(labels), dtype=np.int64)
    halves[order] = labels.iloc[order].groupby(list(labels.columns)).cumcount().to_numpy() % 2
    return halves


def fold_statistics(cells: CellTable, train: Index, seed: int) -> FoldStatistics:
    """Compute the moments of every training condition in one pass over the training cells.

    Memory depends on the number of conditions and genes, and not on the number of cells.

    Parameters
    ----------
    cells
        All cells of the data set.
    train
        Positions of the training cells, ascending.
    seed
        Divides the cells into halves.
    """
    labels = labels_of(cells.obs.iloc[train])
    conditions = labels.groupby(list(LEVELS), sort=True)
    number, n_genes = conditions.ngroup().to_numpy(), len(cells.var_names)
    halves = halve(labels, seed)
    n = np.stack([np.bincount(number[halves == half], minlength=conditions.ngroups) for half in (0, 1)])
    group = halves * n.shape[1] + number
    filled = np.zeros((n.size, n_genes), dtype=np.int32)
    mean, squares = np.zeros((n.size, n_genes)), np.zeros((n.size, n_genes))
    for positions, x in blocks(cells, train):
        if not x.has_canonical_format:
            x.sum_duplicates()
        own = group[np.searchsorted(train, positions)]
        _add(x.data, x.indices, x.indptr, own, filled, mean, squares)
    _add_zeros(n.ravel(), filled, mean, squares)
    n_values = int(filled.sum(dtype=np.int64))
    shape = (*n.shape, n_genes)
    table = conditions.size().index.to_frame(index=False)
    return FoldStatistics(table, n, mean.reshape(shape), squares.reshape(shape), n_values)


def kept_statistics(path: Path, make: Callable[[], FoldStatistics]) -> FoldStatistics:
    """Read the statistics kept in a file; where there is none, or it is damaged, make them and keep them.

    One process at a time makes them, the others wait for it. Raises `StoreError` if the disk refuses.
    """
    try:
        return _read(path)
    except (FileNotFoundError, checked_arrays.Damaged):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        try:
            return _read(path)
        except (FileNotFoundError, checked_arrays.Damaged):
            made = make()
            checked_arrays.put(path, made)
            return made


def _read(path: Path) -> FoldStatistics:
    found = checked_arrays.get(path, FoldStatistics)
    if not isinstance(found, FoldStatistics):
        raise checked_arrays.Damaged(f"{path} holds no statistics of training cells.")
    return found


@njit(nogil=True, cache=True)
def _add(data, indices, indptr, group, filled, mean, squares):  # type: ignore[no-untyped-def]
    """Add the stored values of cells to the moments of their groups [group, gene]."""
    for row in range(len(group)):
        own = group[row]
        for k in range(indptr[row], indptr[row + 1]):
            gene, value = indices[k], np.float64(data[k])
            filled[own, gene] += 1
            step = value - mean[own, gene]
            mean[own, gene] += step / filled[own, gene]
            squares[own, gene] += step * (value - mean[own, gene])


@njit(nogil=True, cache=True)
def _add_zeros(n, filled, mean, squares):  # type: ignore[no-untyped-def]
    """Join the moments of the stored values with the values that are 0, of `n` cells a group."""
    for own in range(len(n)):
        for gene in range(mean.shape[1]):
            zeros = n[own] - filled[own, gene]
            if zeros:
                squares[own, gene] += mean[own, gene] ** 2 * filled[own, gene] * zeros / n[own]
                mean[own, gene] *= filled[own, gene] / n[own]
