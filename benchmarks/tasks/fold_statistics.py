"""Statistics of a fold's training cells: number, mean and variance of every condition, in one pass over the cells.

Every condition is divided into two disjoint halves, which scoring compares and models get joined. Mean and squared deviations
are updated cell by cell over the stored values (Welford 1962, doi:10.1080/00401706.1962.10490022), and joined with the
zeros at the end (Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115). So the result does not depend on how the
cells are divided into blocks, and a gene that does not vary has a variance of exactly 0.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numba import njit

from benchmarks.data.cell_table import CellTable, blocks
from benchmarks.data.store import checked_arrays
from benchmarks.data.store.atomic_files import RESUME, make_once
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import Index
from benchmarks.training_data import LEVELS, Profiles, labels_of

Array = np.ndarray
MAPPED = ("mean", "joined_mean", "variance")
"""Arrays that are kept in a file each, which is mapped into memory."""
ABOUT = "about.npz"
"""All else, and the digests of these files."""
PART_BYTES = 256 << 20
"""Bytes that the moments of the conditions take that are computed at a time."""
BYTES_PER_VALUE = 48
"""Bytes of them for each condition and gene."""


@dataclass(frozen=True)
class FoldStatistics:
    """Moments of every training condition, in two disjoint halves of its cells; a half without cells holds zeros."""

    labels: pd.DataFrame
    """Context, perturbation and dose (nM, 0 for none) of every condition, sorted by these."""
    n: Int[Array, "half condition"]
    """Number of cells."""
    mean: Float[Array, "half condition gene"]
    """Mean of the values, float64."""
    joined_mean: Float[Array, "condition gene"]
    """Mean over both halves."""
    variance: Float[Array, "condition gene"]
    """Variance over both halves, divided by their number of cells."""
    n_values: int
    """Number of values that all training cells hold, without zeros that are not stored."""

    def profiles(self) -> Profiles:
        """Number of cells, mean and variance of every condition."""
        return Profiles(self.labels.assign(n_cells=self.n.sum(axis=0)), self.joined_mean, self.variance)


def halve(labels: pd.DataFrame, seed: int) -> np.ndarray:
    """Put every training cell into half 0 or 1, so that both halves have cells of every condition that has two."""
    order = np.random.default_rng(derive(seed, "halves of the training cells")).permutation(len(labels))
    halves = np.empty(len(labels), dtype=np.int64)
    halves[order] = labels.iloc[order].groupby(list(labels.columns)).cumcount().to_numpy() % 2
    return halves


def fold_statistics(cells: CellTable, train: Index, seed: int, folder: Path | None = None) -> FoldStatistics:
    """Compute the moments of every training condition in one pass over the training cells, some conditions at a time.

    Memory depends on the number of conditions and genes, and not on the number of cells; with a folder on neither.

    Parameters
    ----------
    cells
        All cells of the data set.
    train
        Positions of the training cells, ascending.
    seed
        Divides the cells into halves.
    folder
        Empty folder for the arrays, one file each, which are mapped; None: they are in memory.
    """
    labels = labels_of(cells.obs.iloc[train])
    conditions = labels.groupby(list(LEVELS), sort=True)
    number, n_genes, k = conditions.ngroup().to_numpy(), len(cells.var_names), conditions.ngroups
    halves = halve(labels, seed)
    n = np.stack([np.bincount(number[halves == half], minlength=k) for half in (0, 1)])
    shapes = {"mean": (2, k, n_genes), "joined_mean": (k, n_genes), "variance": (k, n_genes)}
    arrays = {name: _new(folder, name, shape) for name, shape in shapes.items()}
    order, ends = np.argsort(number, kind="stable"), np.cumsum(np.bincount(number, minlength=k))
    step, n_values = max(1, PART_BYTES // (BYTES_PER_VALUE * n_genes)), 0
    for first in range(0, k, step):
        some = slice(first, min(first + step, k))
        rows = np.sort(order[ends[first] - n[:, first].sum() : ends[some.stop - 1]])
        group = halves[rows] * (some.stop - first) + number[rows] - first
        mean, squares, filled = _moments(cells, train[rows], group, n[:, some])
        n_values += filled
        for name, values in (
            ("mean", mean),
            *zip(("joined_mean", "variance"), _join(n[:, some], mean, squares), strict=True),
        ):
            _put(folder, arrays, name, some, values)
    return FoldStatistics(conditions.size().index.to_frame(index=False), n, **arrays, n_values=n_values)


def _moments(
    cells: CellTable, positions: Index, group: np.ndarray, n: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and squared deviations [half, condition, gene] of cells in groups, `n` [half, condition] each; and their stored values."""
    filled = np.zeros((n.size, len(cells.var_names)), dtype=np.int32)
    mean, squares = np.zeros(filled.shape), np.zeros(filled.shape)
    for some, x in blocks(cells, positions):
        if not x.has_canonical_format:
            x.sum_duplicates()
        _add(x.data, x.indices, x.indptr, group[np.searchsorted(positions, some)], filled, mean, squares)
    _add_zeros(n.ravel(), filled, mean, squares)
    shape = *n.shape, filled.shape[1]
    return mean.reshape(shape), squares.reshape(shape), int(filled.sum(dtype=np.int64))


def _new(folder: Path | None, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make an array, in memory or mapped from a file of its own."""
    if folder is None:
        return np.empty(shape)
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float64, shape)


def _put(
    folder: Path | None, arrays: Mapping[str, np.ndarray], name: str, conditions: slice, values: np.ndarray
) -> None:
    """Write the values of some conditions; pages of a file are mapped only as long, so that they are not memory of this process."""
    array = arrays[name] if folder is None else np.load(folder / f"{name}.npy", mmap_mode="r+")
    array[..., conditions, :] = values


def _join(n: np.ndarray, mean: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join two halves [half, condition, gene]: mean and variance; in the place of the squared deviations, to save memory."""
    joined, (variance, others) = np.empty_like(mean[0]), squares
    for row, (one, other) in enumerate(n.T):
        step, total = mean[1, row] - mean[0, row], one + other
        joined[row] = mean[0, row] + step * (other / total)
        variance[row] = (np.square(step) * (one * (other / total)) + variance[row] + others[row]) / total
    return joined, variance


def kept_statistics(folder: Path, make: Callable[[Path], FoldStatistics]) -> FoldStatistics:
    """Read the statistics kept in a folder, its arrays mapped; where there is none, or it is damaged, make and keep them.

    `make` is given a folder to make them in, see `fold_statistics`. One process at a time makes them, the others wait for it. Raises `StoreError` if the disk refuses.
    """
    there = folder.is_dir()
    try:
        return _read(folder)
    except (FileNotFoundError, checked_arrays.Damaged):
        if there:
            shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    make_once(folder, lambda new: _write(new, make(new)), remedy=RESUME)
    return _read(folder)


def _write(folder: Path, found: FoldStatistics) -> None:
    digests = {name: _digest(folder / f"{name}.npy") for name in MAPPED}
    others = {f.name: getattr(found, f.name) for f in fields(found) if f.name not in MAPPED}
    checked_arrays.put(folder / ABOUT, {"digests": digests, "others": others})


def _read(folder: Path) -> FoldStatistics:
    about = checked_arrays.get(folder / ABOUT)
    arrays = {}
    try:
        for name in MAPPED:
            path = folder / f"{name}.npy"
            if _digest(path) != about["digests"][name]:
                raise checked_arrays.Damaged(f"{path} is damaged: its digest is another than when it was written.")
            arrays[name] = np.load(path, mmap_mode="r")
    except checked_arrays.Damaged:
        raise
    except checked_arrays.DAMAGED as error:
        raise checked_arrays.Damaged(f"{folder} holds no statistics of training cells: {error}.") from error
    return FoldStatistics(**about["others"], **arrays)


def _digest(path: Path) -> str:
    """Hash a file; as long as it is not touched, this is done once in a process."""
    about = path.stat()
    return _hash(path, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


@lru_cache
def _hash(path: Path, *about: int) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
