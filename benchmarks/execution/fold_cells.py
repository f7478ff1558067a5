"""The training cells of a fold, as a predictor gets them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import pandas as pd
import scipy.sparse as sp

from benchmarks.data.cell_table import CellTable, read
from benchmarks.tasks.conditions import Index
from benchmarks.tasks.fold_statistics import FoldStatistics
from benchmarks.training_data import Profiles, TrainingData


class FoldCells(TrainingData):
    """The cells at some positions of a table; nothing is read before it is asked for.

    `statistics` is called where profiles are asked for; `seed` chooses the controls.
    """

    def __init__(self, cells: CellTable, train: Index, statistics: Callable[[], FoldStatistics], seed: int) -> None:
        self.table, self.train, self.statistics, self.seed = cells, train, statistics, seed
        self.genes = tuple(cells.var_names)

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Labels of all training cells, text or numbers."""
        obs = self.table.obs.iloc[self.train]
        return obs.astype({c: str for c in obs if not pd.api.types.is_numeric_dtype(obs[c])})

    @cached_property
    def profiles(self) -> Profiles:
        """Number, mean and variance of the cells of every condition."""
        return self.statistics().profiles()

    def take(self, rows: Index) -> sp.csr_matrix:
        """Read the values of some training cells."""
        return read(self.table, self.train[rows]).X
