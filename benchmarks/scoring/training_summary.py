"""What the training cells of one fold say: mean effects of their perturbations, and principal components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL
from benchmarks.data.cell_table import CellTable
from benchmarks.scoring.metrics.distribution import N_COMPONENTS
from benchmarks.scoring.metrics.rank_sum import Cells
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import Index, TestCondition
from benchmarks.tasks.fold_statistics import FoldStatistics, fold_statistics
from benchmarks.training_data import LEVELS, labels_of

Step = tuple[float | None, float | None]
"""(dose started from, dose reached), nM; None for controls, and for perturbations without doses."""
Part = Literal["all", "first", "second"]
"""Of the training cells: all of them, or one of two disjoint halves."""
COMPONENT_CELLS = 5_000
"""Most training cells that the principal components are found in."""
TOLERANCE = 1e-3
"""Relative change at which the search for components ends. What is beyond the first ones is noise, which has no gaps: to
search it exactly takes ten times as long."""
MANY_GENES = 2_000
"""Genes from which the whole covariance matrix costs more than its first components alone."""


class Effects(NamedTuple):
    """Mean change of a context's training perturbations [context, gene]; row "" is the mean over contexts."""

    all: pd.DataFrame
    """Of all training cells."""
    first: pd.DataFrame
    """Of half of every condition's training cells, controls included."""
    second: pd.DataFrame
    """Of the other half."""
    first_reached: pd.DataFrame
    """Mean profile of the first half's perturbed cells, over the same perturbations; no row "" here."""


@dataclass(frozen=True)
class Components:
    """Principal components of training cells."""

    axes: np.ndarray
    """[component, gene], of length one."""
    centre: np.ndarray
    """Mean profile of the cells that they are of [gene]."""

    def transform(self, cells: Cells) -> np.ndarray:
        """Coordinates of cells [cell, component]."""
        return cells @ self._by_gene - self.centre @ self.axes.T

    @cached_property
    def _by_gene(self) -> np.ndarray:
        """Axes [gene, component], those of a gene side by side, as sparse cells use them."""
        return np.ascontiguousarray(self.axes.T)


@dataclass(frozen=True)
class TrainingSummary:
    """Statistics of the training cells of one fold; no test cell is in them."""

    components: Components
    """Principal components that distances between cells are measured in."""
    effects: Mapping[Step, Effects]
    """Step → mean changes of the training perturbations, of all cells and of two disjoint halves of them."""
    cells: CellTable
    """Where the training cells are: the table of the test cells, or another file."""
    train: Index
    """Positions of the training cells in `cells`."""
    labels: pd.DataFrame
    """Context, perturbation and dose (nM, 0 for none) of the training cells."""

    def mean_effect(self, conditions: Sequence[TestCondition], part: Part = "all") -> np.ndarray:
        """Mean change [condition, gene] over the same step in a condition's context, or over all contexts where it has none."""
        tables = [getattr(self.effects[c.start_dose, c.dose], part) for c in conditions]
        pairs = zip(tables, (c.context for c in conditions), strict=True)
        return np.stack([table.loc[context if context in table.index else ""].to_numpy() for table, context in pairs])

    def start_like(self, condition: TestCondition) -> Index:
        """Positions in `cells` of the training cells in the state that a condition starts from."""
        name = CONTROL if condition.start_dose is None else condition.perturbation
        return self._find(lambda c, p: (c, p) == (condition.context, name), condition.start_dose)

    def perturbed_like(self, condition: TestCondition) -> Index:
        """Positions in `cells` of the training cells of a condition's context and dose, of any perturbation."""
        return self._find(lambda c, p: c == condition.context and p != CONTROL, condition.dose)

    @cached_property
    def _places(self) -> Mapping[tuple[str, str, float], Index]:
        """Context, perturbation and dose (0 for none) → positions in `cells`."""
        return {key: self.train[rows] for key, rows in self.labels.groupby(list(LEVELS), sort=False).indices.items()}

    def _find(self, which: Callable[[str, str], bool], dose: float | None) -> Index:
        """Positions, ascending, of the cells of some conditions at a dose; None is any."""
        found = [own for (c, p, d), own in self._places.items() if which(c, p) and dose in (None, d)]
        return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *found]))


def summarise_training(
    cells: CellTable,
    train: Index,
    seed: int,
    conditions: Sequence[TestCondition] = (),
    statistics: FoldStatistics | None = None,
    components: Components | None = None,
) -> TrainingSummary:
    """Summarise the training cells, those at the positions `train`; `seed` halves them and draws the cells of the components.

    Mean changes are those of the steps of `conditions`, which are tested; without any, of the step from controls to any dose.
    `statistics` (of `fold_statistics` with the same seed) and `components` (of `find_components`) are computed where they are
    not given.
    """
    statistics = statistics or fold_statistics(cells, train, seed)
    steps = {(condition.start_dose, condition.dose) for condition in conditions} or {(None, None)}
    return TrainingSummary(
        components=components or find_components(cells, train, seed),
        effects={step: _effects(statistics, cells.var_names, step) for step in steps},
        cells=cells,
        train=train,
        labels=labels_of(cells.obs.iloc[train]),
    )


def find_components(cells: CellTable, train: Index, seed: int) -> Components:
    """Find the principal components of the training cells, of `COMPONENT_CELLS` of them drawn at random where they are more."""
    from sklearn.decomposition import PCA  # slow to import, and not needed without training cells

    if len(train) > COMPONENT_CELLS:
        generator = np.random.default_rng(derive(seed, "cells of the components"))
        train = np.sort(generator.choice(train, COMPONENT_CELLS, replace=False))
    n = min(N_COMPONENTS, len(train) - 1, len(cells.var_names) - 1)
    # the quicker of two solvers that take sparse cells: exact, or until eigenvalues change by less than the tolerance
    solver = "covariance_eigh" if len(cells.var_names) <= MANY_GENES else "arpack"
    found = PCA(n, svd_solver=solver, tol=TOLERANCE, random_state=seed).fit(sp.csr_matrix(cells.X[train]))
    return Components(found.components_, found.mean_)


def _effects(statistics: FoldStatistics, genes: pd.Index, step: Step) -> Effects:
    """Average the changes of a step over perturbations, in all training cells and in each half of them."""

    def average(halves: Sequence[int], *, reached: bool = False) -> pd.DataFrame:
        """Weighted sums of the conditions' means [context, gene]; `reached`: of the perturbed cells alone."""
        n = statistics.n[list(halves)].sum(axis=0)
        found = _effect_weights(statistics.labels.assign(n=n)[n > 0], step)
        found = found[found["weight"] > 0] if reached else found
        contexts = sorted(found["context"].unique())
        total = np.zeros((len(contexts), len(genes)))
        for half in halves:
            weights = found["weight"] * statistics.n[half][found.index] / n[found.index]
            place = pd.Index(contexts).get_indexer(found["context"]), found.index
            total += sp.csr_matrix((weights, place), (len(contexts), len(n))) @ statistics.mean[half]
        return pd.DataFrame(total, contexts, genes)

    every, first, second = (_with_mean(average(halves)) for halves in ((0, 1), (0,), (1,)))
    return Effects(every, first, second, average((0,), reached=True))


def _with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """Add row "", the mean over contexts, which is 0 where there are none."""
    table.loc[""] = table.mean(axis=0) if len(table) else 0.0
    return table


def _effect_weights(conditions: pd.DataFrame, step: Step) -> pd.DataFrame:
    """Weight of each condition in the mean, over a context's perturbations, of their change from controls or from a lower dose.

    `conditions` has columns context, perturbation, dose and `n`, the number of cells; each cell of a perturbation weighs the
    same. Perturbations that lack cells at either end are left out. Columns context and weight, index as in `conditions`.
    """
    start, end = step
    perturbed = conditions["perturbation"] != CONTROL
    by = ["context"] if start is None else ["context", "perturbation"]
    ends, starts = conditions[perturbed & _at(conditions, end)], conditions[perturbed & _at(conditions, start)]
    if start is None:
        starts = conditions[~perturbed]
    keys = pd.MultiIndex.from_frame(ends[by]), pd.MultiIndex.from_frame(starts[by])
    ends, starts = ends[keys[0].isin(keys[1])], starts[keys[1].isin(keys[0])]
    n = ends.groupby("context")["perturbation"].nunique()
    gained = ends["n"] / ends.groupby(["context", "perturbation"])["n"].transform("sum") / ends["context"].map(n)
    lost = starts["n"] / starts.groupby(by)["n"].transform("sum")
    if start is not None:
        lost /= starts["context"].map(n)
    return pd.concat([ends.assign(weight=gained), starts.assign(weight=-lost)])[["context", "weight"]]


def _at(labels: pd.DataFrame, dose: float | None) -> pd.Series:
    return labels["dose"] >= 0.0 if dose is None else labels["dose"] == dose
