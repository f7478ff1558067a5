"""What a predictor learns from: training cells, read when they are asked for, and statistics of their conditions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.seeds import derive

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData
    from jaxtyping import Float, Int

CONTROL = "control"
"""Label of unperturbed cells in `obs["perturbation"]`, in every data set."""
LEVELS = ("context", "perturbation", "dose")
"""What names a condition of the training cells; the dose is in nM, 0 for none."""
CONTROLS_PER_CONTEXT = 512
"""Most training controls of a context that are given as single cells without reading all training cells."""


@dataclass(frozen=True)
class Profiles:
    """Number, mean and variance of the training cells of every condition, controls included; the arrays are read-only."""

    labels: pd.DataFrame
    """Rows are conditions, sorted by `LEVELS` (dose in nM, 0 for none), with the number of cells `n_cells`."""
    mean: Float[np.ndarray, "condition gene"]
    """Mean over cells, float64."""
    variance: Float[np.ndarray, "condition gene"]
    """Variance over cells, divided by their number, float64; exactly 0 for a gene that does not vary."""

    def __post_init__(self) -> None:
        for array in (self.mean, self.variance):
            array.flags.writeable = False


class TrainingData(ABC):
    """Where the training cells of a fit are: in memory, in a data set, or in the files of a unit of work."""

    genes: tuple[str, ...]
    """Names of the genes."""
    seed: int = 0
    """Seed that controls are chosen with."""

    @property
    @abstractmethod
    def obs(self) -> pd.DataFrame:
        """Labels of all training cells."""

    @abstractmethod
    def take(self, rows: Int[np.ndarray, "cell"]) -> sp.csr_matrix:
        """Read the values of some training cells [cell, gene], float32, in the order asked for."""

    @cached_property
    def profiles(self) -> Profiles:
        """Number, mean and variance of the cells of every condition, one condition after the other."""
        conditions = labels_of(self.obs).groupby(list(LEVELS), sort=True)
        number, sizes = conditions.ngroup().to_numpy(), conditions.size()
        rows_of = np.split(np.argsort(number, kind="stable"), np.cumsum(sizes)[:-1])
        mean, variance = np.zeros((2, len(sizes), len(self.genes)))
        for place, rows in enumerate(rows_of):
            x = self.take(rows).astype(np.float64)
            mean[place] = np.asarray(x.mean(axis=0)).ravel()
            filled = np.bincount(x.indices, minlength=len(self.genes))
            squares = np.bincount(x.indices, (x.data - mean[place, x.indices]) ** 2, len(self.genes))
            variance[place] = (squares + (len(rows) - filled) * mean[place] ** 2) / len(rows)
        return Profiles(sizes.rename("n_cells").reset_index(), mean, variance)

    @cached_property
    def controls(self) -> AnnData:
        """Training controls, see `choose_controls`."""
        return self._cells(choose_controls(self.obs, self.seed))

    @cached_property
    def cells(self) -> AnnData:
        """All training cells."""
        return self._cells(np.arange(len(self.obs)))

    def batches(self, size: int, seed: int) -> Iterator[tuple[sp.csr_matrix, pd.DataFrame]]:
        """Read all training cells once, shuffled, at most `size` at a time: values [cell, gene], and labels."""
        obs = self.obs
        order = np.random.default_rng(seed).permutation(len(obs))
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            yield self.take(rows), obs.iloc[rows]

    def _cells(self, rows: np.ndarray) -> AnnData:
        from anndata import AnnData

        return AnnData(X=self.take(rows), obs=self.obs.iloc[rows], var=pd.DataFrame(index=list(self.genes)))


class CellsInMemory(TrainingData):
    """Training cells that are an `AnnData`."""

    def __init__(self, cells: AnnData) -> None:
        self.cells = cells
        self.genes = tuple(cells.var_names)

    @property
    def obs(self) -> pd.DataFrame:
        """Labels of all training cells."""
        return self.cells.obs

    def take(self, rows: np.ndarray) -> sp.csr_matrix:
        """Copy the values of some cells."""
        import scipy.sparse as sp

        return sp.csr_matrix(self.cells.X[rows])


def labels_of(obs: pd.DataFrame) -> pd.DataFrame:
    """Context, perturbation and dose (nM, 0 for none) of cells, rows numbered from 0."""
    labels = obs[["context", "perturbation"]].astype(str).reset_index(drop=True)
    labels["dose"] = obs["dose"].fillna(0.0).to_numpy(dtype=np.float64) if "dose" in obs else 0.0
    return labels


def choose_controls(obs: pd.DataFrame, seed: int) -> np.ndarray:
    """Positions, ascending, of the controls of every context, or of `CONTROLS_PER_CONTEXT` of them drawn with a seed."""
    contexts = obs["context"].astype(str).to_numpy()
    control = (obs["perturbation"] == CONTROL).to_numpy()
    chosen = [np.empty(0, dtype=np.int64)]
    for context in sorted(set(contexts[control])):
        own = np.flatnonzero(control & (contexts == context))
        if len(own) > CONTROLS_PER_CONTEXT:
            generator = np.random.default_rng(derive(seed, "training controls", context))
            own = generator.choice(own, CONTROLS_PER_CONTEXT, replace=False)
        chosen.append(own)
    return np.sort(np.concatenate(chosen))
