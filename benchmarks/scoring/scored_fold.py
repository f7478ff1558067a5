"""One fold and direction as it is scored: what its training cells, inputs and references say, shared by all predictions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.contract import CONTROL, Direction
from benchmarks.data.cell_table import CellTable
from benchmarks.data.readers.gene_columns import match_genes
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.metrics.copying import HALVES, MarginSums, margin_sums
from benchmarks.scoring.metrics.differential import Tests, linear_mean, test_genes
from benchmarks.scoring.metrics.distribution import N_COMPONENTS
from benchmarks.scoring.metrics.rank_sum import Cells, SortedCells, sort_cells
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import Index, TestCondition
from benchmarks.tasks.fold_statistics import FoldStatistics, fold_statistics
from benchmarks.tasks.splits import Split
from benchmarks.training_data import LEVELS, labels_of

T = TypeVar("T")
Step = tuple[float | None, float | None]
"""(dose started from, dose reached), nM; None for controls, and for perturbations without doses."""
Part = Literal["all", "first", "second"]
"""Of the training cells: all of them, or one of two disjoint halves."""
Start = Literal["start", "reference", "shared"]
"""What a predicted change is measured from: I, R, or both together."""
COMPONENT_CELLS = 5_000
"""Most training cells that the principal components are found in."""
RECENT = 512 << 20
"""Bytes that a `Recent` keeps."""
TESTED = 64 << 20
"""Bytes of cells that were tested last, to know them again."""
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


class ReferenceCells(NamedTuple):
    """A set of cells that others are tested against."""

    profile: np.ndarray
    """Mean profile [gene]."""
    linear_mean: np.ndarray
    """Mean linear values [gene], or the mean profile in a space without linear values."""
    ordered: SortedCells


class TrueCells(NamedTuple):
    """A set of true cells, as far as conditions that share it share what is known of them."""

    profile: np.ndarray
    """Mean profile [gene]."""
    linear_mean: np.ndarray
    """Mean linear values [gene], or the mean profile in a space without linear values."""
    ordered: SortedCells
    projected: np.ndarray | None
    """Cells in principal components [cell, component], perturbed genes included; None without training cells."""
    own: Cells
    """Values of the perturbed genes of all conditions [cell, gene of `CellSets.perturbed`]."""


class CellSets:
    """What scoring computes of sets of cells, from their positions [cell]; what was used last is kept (see `Recent`)."""

    def __init__(
        self,
        cells: CellTable,
        own_gene: np.ndarray,
        training: TrainingSummary | None,
        *,
        linear: bool,
        recent: Recent | None = None,
    ) -> None:
        self.cells, self.linear, self.training = cells, linear, training
        self.perturbed = np.unique(own_gene[own_gene >= 0])
        self.recent, self.tested = recent or Recent(), Recent(TESTED)

    def mean(self, positions: np.ndarray) -> np.ndarray:
        """Mean profile [gene]."""
        return self.recent.get((self, "mean", positions.tobytes()), lambda: mean_profile(take(self.cells, positions)))

    def ordered(self, positions: np.ndarray) -> SortedCells:
        """Sort every gene's values."""
        return self.recent.get((self, "ordered", positions.tobytes()), lambda: sort_cells(take(self.cells, positions)))

    def reference(self, positions: np.ndarray) -> ReferenceCells:
        """Summarise reference cells, read once."""
        return self.recent.get((self, "reference", positions.tobytes()), lambda: self._reference(positions))

    def tests(self, cells: SortedCells, mean: np.ndarray, reference: np.ndarray) -> Tests:
        """Test every gene of some cells, with their `linear_mean`, against the cells at the positions of a reference.

        A model that predicts the same cells for many conditions is tested once.
        """

        def test() -> tuple[SortedCells, Tests]:
            other = self.reference(reference)
            found = test_genes(cells, other.ordered, mean, other.linear_mean, linear=self.linear)
            return cells, found  # the cells too, so that no others can have their `id`

        return self.tested.get((id(cells), reference.tobytes()), test)[1]

    def true(self, positions: np.ndarray) -> TrueCells:
        """Summarise true cells, read once."""
        return self.recent.get((self, "true", positions.tobytes()), lambda: self._true(positions))

    def margin_sums(self, positions: np.ndarray, generator: np.random.Generator) -> MarginSums:
        """Halve true cells for the copy margin; the generator is the same wherever the positions are."""
        if len(positions) <= HALVES:  # few cells: quickly done, and larger than the cells themselves
            return margin_sums(take(self.cells, positions), generator)
        key = self, "margin", positions.tobytes()
        return self.recent.get(key, lambda: margin_sums(take(self.cells, positions), generator))

    def _reference(self, positions: np.ndarray) -> ReferenceCells:
        return self._summarised(take(self.cells, positions))

    def _summarised(self, cells: Cells) -> ReferenceCells:
        ordered, profile = sort_cells(cells), mean_profile(cells)
        return ReferenceCells(profile, linear_mean(ordered) if self.linear else profile, ordered)

    def _true(self, positions: np.ndarray) -> TrueCells:
        cells = take(self.cells, positions)
        return TrueCells(
            *self._summarised(cells),
            projected=self.training.components.transform(cells) if self.training else None,
            own=cells[:, self.perturbed],
        )


@dataclass(frozen=True)
class ScoredFold:
    """Inputs I, references R and labels of test conditions of one fold and direction: all of them, or a block.

    What depends on cells is read when it is asked for, so that a fold of many conditions is scored in blocks (`part`).
    """

    direction: Direction
    cells: CellTable
    """All cells, in the run's space; rows are taken from it one condition at a time."""
    conditions: tuple[TestCondition, ...]
    own_gene: np.ndarray
    """Columns of the perturbed genes [condition, gene of a combination]; −1 where one is not measured."""
    training: TrainingSummary | None
    """None where no training cells are known (prediction files without --train)."""
    linear: bool
    """Whether values are log2(x + 1) of linear ones, so that fold changes can be taken (False for z-scores)."""
    seed: int
    """Seed of every random subsample made in scoring."""
    threads: int
    """Conditions scored at a time."""
    sets: CellSets
    """Shared by all parts of a fold."""

    def __len__(self) -> int:
        return len(self.conditions)

    def part(self, numbers: Sequence[int] | np.ndarray) -> ScoredFold:
        """Take some of the conditions, in this order."""
        numbers = np.asarray(numbers, dtype=np.int64)
        return replace(self, conditions=tuple(self.conditions[n] for n in numbers), own_gene=self.own_gene[numbers])

    @cached_property
    def contexts(self) -> np.ndarray:
        """Context of each condition."""
        return np.array([c.context for c in self.conditions])

    @cached_property
    def perturbations(self) -> np.ndarray:
        """Perturbation of each condition."""
        return np.array([c.perturbation for c in self.conditions])

    @cached_property
    def doses(self) -> np.ndarray:
        """Dose of each condition, nM; NaN where it has none."""
        return np.array([c.dose for c in self.conditions], dtype=np.float64)

    @cached_property
    def start(self) -> np.ndarray:
        """Mean profiles of the input cells I [condition, gene]."""
        return np.stack(self.means("start"))

    @cached_property
    def reference(self) -> np.ndarray:
        """Mean profiles of the reference cells R [condition, gene]."""
        return np.stack(self.means("reference"))

    @cached_property
    def shared(self) -> np.ndarray:
        """Mean profiles of I and R together [condition, gene]: the one control mean that peers subtract from both sides."""
        return np.stack(self.means("shared"))

    def means(self, of: Start) -> list[np.ndarray]:
        """Mean profiles [gene], one a condition; conditions with the same input and reference cells share one array."""
        found: dict[bytes, np.ndarray] = {}
        return [found.setdefault(self.setting(number), self._mean(number, of)) for number in range(len(self))]

    def _mean(self, number: int, of: Start) -> np.ndarray:
        condition = self.conditions[number]
        own, others = condition.input(self.direction), condition.reference(self.direction)
        if of == "start":
            return self.sets.mean(own)
        reference = self.sets.reference(others).profile
        if of == "reference":
            return reference
        n, m = len(own), len(others)
        return (n * self.sets.mean(own) + m * reference) / (n + m)

    def input_cells(self, number: int) -> Cells:
        """Single cells that the prediction starts from."""
        return take(self.cells, self.conditions[number].input(self.direction))

    def true_positions(self) -> list[np.ndarray]:
        """Positions of the true cells in `cells`, ascending, one array a condition."""
        return [c.truth(self.direction) for c in self.conditions]

    @cached_property
    def n_true(self) -> np.ndarray:
        """Number of true cells of each condition."""
        return np.array([len(own) for own in self.true_positions()])

    def labels(self) -> dict[str, np.ndarray]:
        """Columns context, perturbation and dose of a table of all conditions."""
        return {"context": self.contexts, "perturbation": self.perturbations, "dose": self.doses}

    @property
    def other_genes(self) -> np.ndarray:
        """Mark the genes other than a condition's perturbed ones [condition, gene]."""
        found = np.ones((len(self), len(self.cells.var_names)), dtype=bool)
        row, part = np.nonzero(self.own_gene >= 0)
        found[row, self.own_gene[row, part]] = False
        return found

    def perturbed_genes(self, number: int) -> np.ndarray:
        """Columns of a condition's perturbed genes that are measured."""
        own = self.own_gene[number]
        return own[own >= 0]

    def mean_effect(self, part: Part = "all") -> np.ndarray | None:
        """Mean change [condition, gene] of the training perturbations between the same two states; None without training."""
        if self.training is None:
            return None
        return self._sign * self.training.mean_effect(self.conditions, part)

    def mean_effect_for_truth(self, truth: np.ndarray) -> np.ndarray | None:
        """Mean change as by `mean_effect`, of the first half of the training cells, from controls that no model was given.

        Predictions hold the noise of the training controls, so the true change must not: the controls are the truth's side's
        own, R in n2p and the truth [condition, gene] in p2n. Between two doses, and where a context has no training
        perturbation, the training cells of both states are used.
        """
        found = self.mean_effect("first")
        if self.training is None or found is None:
            return None
        controls = self.reference if self.direction == "n2p" else truth
        for number, condition in enumerate(self.conditions):
            reached = self.training.effects[condition.start_dose, condition.dose].first_reached
            if condition.start_dose is None and condition.context in reached.index:
                found[number] = self._sign * (reached.loc[condition.context].to_numpy() - controls[number])
        return found

    @property
    def _sign(self) -> float:
        """Direction of a change: that of the training perturbations, or back."""
        return -1.0 if self.direction == "p2n" else 1.0

    def endings(self) -> list[Ending]:
        """End every condition as ok."""
        return [Ending(c.context, c.perturbation, "ok", "", c.dose) for c in self.conditions]

    def setting(self, number: int) -> bytes:
        """Return a key of a condition's input and reference cells, equal for conditions that share both."""
        condition = self.conditions[number]
        sides = condition.input(self.direction), condition.reference(self.direction)
        return b"|".join(side.tobytes() for side in sides)

    def generator(self, number: int, *purpose: object) -> np.random.Generator:
        """Make the generator of one condition and purpose; the same for every model."""
        condition = self.conditions[number]
        labels = self.direction, condition.context, condition.perturbation, *condition.dose_words
        return np.random.default_rng(derive(self.seed, *purpose, *labels))

    def truth_generator(self, number: int, *purpose: object) -> np.random.Generator:
        """Make the generator of what is drawn from a condition's true cells.

        In n2p it is the condition's own. In p2n the true cells are of a state that many conditions share, most often the
        controls: conditions of the same true state draw the same, so that what is drawn is computed once for all of them.
        """
        condition = self.conditions[number]
        if self.direction == "n2p":
            return self.generator(number, *purpose)
        dose = condition.doses(self.direction)[1]
        state = (CONTROL,) if dose is None else (condition.perturbation, f"{dose:g} nM")
        return np.random.default_rng(derive(self.seed, *purpose, self.direction, condition.context, *state))

    def project(self, number: int, cells: Cells) -> np.ndarray | None:
        """Transform cells to the training cells' principal components [cell, component]; None without training.

        The condition's perturbed genes are taken to be 0 in every cell, so that they are in no distance.
        """
        if self.training is None:
            return None
        components, own = self.training.components, self.perturbed_genes(number)
        return components.transform(cells) - cells[:, own] @ components.axes[:, own].T

    def project_true(self, number: int, cells: TrueCells, rows: np.ndarray) -> np.ndarray | None:
        """Transform those of a set of true cells that are in the rows given, as `project` does."""
        if self.training is None or cells.projected is None:
            return None
        own = self.perturbed_genes(number)
        values = cells.own[rows][:, np.searchsorted(self.sets.perturbed, own)]
        return cells.projected[rows] - values @ self.training.components.axes[:, own].T

    def each(self, work: Callable[[int], T]) -> list[T]:
        """Call `work` with the number of every condition, in `threads` threads, each with a single-threaded BLAS."""
        with threadpool_limits(1 if self.threads > 1 else None):
            if self.threads == 1:
                return [work(number) for number in range(len(self))]
            with ThreadPoolExecutor(self.threads) as pool:
                return list(pool.map(work, range(len(self))))


def scored_fold_of(
    cells: CellTable,
    split: Split,
    direction: Direction,
    training: TrainingSummary | None,
    *,
    space: str,
    seed: int,
    threads: int = 1,
    recent: Recent | None = None,
) -> ScoredFold:
    """Describe what all predictions of a fold share, from all cells in the run's space; "zscore" has no fold changes.

    `training` is from `summarise_training`; without it, metrics that need training cells are `unsupported`. Folds may share
    what they keep of cells, `recent`.
    """
    linear = space != "zscore"
    own_gene = own_columns([c.perturbation for c in split.conditions], cells.var_names)
    return ScoredFold(
        direction=direction,
        cells=cells,
        conditions=split.conditions,
        own_gene=own_gene,
        training=training,
        linear=linear,
        seed=seed,
        threads=threads,
        sets=CellSets(cells, own_gene, training, linear=linear, recent=recent),
    )


class Recent:
    """Values that are computed once and kept while they are used: those used last, up to so many bytes of their arrays.

    Several threads may ask; one that asks for what another is computing waits for it.
    """

    def __init__(self, most: int = RECENT) -> None:
        self.most, self.size = most, 0
        self._known: OrderedDict[Hashable, Any] = OrderedDict()
        self._working: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of a key, computed where it is not kept."""
        with self._lock:
            own = self._working.setdefault(key, Lock())
        with own:
            with self._lock:
                if key in self._known:
                    self._known.move_to_end(key)
                    return self._known[key]
            value = compute()
            with self._lock:
                self._known[key] = value
                self.size += _bytes_of(value)
                while self.size > self.most and len(self._known) > 1:
                    self.size -= _bytes_of(self._known.popitem(last=False)[1])
                self._working.pop(key, None)
            return value


def _bytes_of(value: Any) -> int:
    """Bytes of the arrays in a value."""
    if isinstance(value, tuple):
        return sum(_bytes_of(part) for part in value)
    if sp.issparse(value):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    return value.nbytes if isinstance(value, np.ndarray) else 0


def own_columns(perturbations: Iterable[str], genes: Iterable[str]) -> np.ndarray:
    """Columns of the perturbed genes [condition, part of the combination]; −1 where a part is no measured gene.

    A name in another case, or with a version or a guide's ending, is its gene; see `gene_columns.match_genes`.
    """
    place = {gene: number for number, gene in enumerate(genes)}
    named = [[p for p in label.split("+") if p != CONTROL] for label in perturbations]
    gene_of = match_genes({p for parts in named for p in parts}, place)
    genes_of = [dict.fromkeys(gene_of.get(p, p) for p in own) for own in named]  # two guides of one gene are one column
    parts = [[place.get(gene, -1) for gene in own] for own in genes_of]
    width = max((len(p) for p in parts), default=0) or 1
    return np.array([p + [-1] * (width - len(p)) for p in parts], dtype=np.int64).reshape(-1, width)


def take(cells: CellTable, positions: np.ndarray) -> Cells:
    """Read the rows of some cells, sparse as CSR, else dense; positions ascend, as files on disk want them."""
    rows = cells.X[positions]
    return sp.csr_matrix(rows) if sp.issparse(rows) else np.asarray(rows)


def mean_profile(cells: Cells) -> np.ndarray:
    """Mean over cells [gene], in float64."""
    return np.asarray(cells.astype(np.float64).mean(axis=0)).ravel()
