"""One fold and direction as it is scored: what its training cells, inputs and references say, shared by all predictions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.contract import CONTROL, Direction
from benchmarks.data.readers.gene_columns import match_genes
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.metrics.differential import linear_mean
from benchmarks.scoring.metrics.distribution import N_COMPONENTS
from benchmarks.scoring.metrics.rank_sum import Cells, SortedCells, sort_cells
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import Index, TestCondition
from benchmarks.tasks.fold_statistics import halve
from benchmarks.tasks.splits import Split
from benchmarks.training_data import labels_of

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

A = TypeVar("A")
T = TypeVar("T")
CellTable: TypeAlias = Any
"""Cells in the run's space, in memory (AnnData) or on disk (`external.CellFile`): what has `X`, `obs` and `var_names`."""
Step = tuple[float | None, float | None]
"""(dose started from, dose reached), nM; None for controls, and for perturbations without doses."""
Part = Literal["all", "first", "second"]
"""Of the training cells: all of them, or one of two disjoint halves."""
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
class TrainingSummary:
    """Statistics of the training cells of one fold; no test cell is in them."""

    components: PCA
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
        return self._find(condition.context, self.labels["perturbation"] == name, condition.start_dose)

    def perturbed_like(self, condition: TestCondition) -> Index:
        """Positions in `cells` of the training cells of a condition's context and dose, of any perturbation."""
        return self._find(condition.context, self.labels["perturbation"] != CONTROL, condition.dose)

    def _find(self, context: str, which: pd.Series, dose: float | None) -> Index:
        return self.train[((self.labels["context"] == context) & which & _at(self.labels, dose)).to_numpy()]


def summarise_training(
    cells: CellTable, train: Index, seed: int, conditions: Sequence[TestCondition] = ()
) -> TrainingSummary:
    """Summarise the training cells, those at the positions `train`; `seed` halves them and starts the search for components.

    Mean changes are those of the steps of `conditions`, which are tested; without any, of the step from controls to any dose.
    """
    from sklearn.decomposition import PCA  # slow to import, and not needed without training cells

    labels = labels_of(cells.obs.iloc[train])
    x = sp.csr_matrix(cells.X[train])
    n = min(N_COMPONENTS, len(train) - 1, len(cells.var_names) - 1)
    # the quicker of two exact solvers that take sparse cells
    solver = "covariance_eigh" if len(cells.var_names) <= MANY_GENES else "arpack"
    halves = halve(labels, seed)
    steps = {(condition.start_dose, condition.dose) for condition in conditions} or {(None, None)}
    return TrainingSummary(
        components=PCA(n, svd_solver=solver, random_state=seed).fit(x),
        effects={step: _effects(x, labels, cells.var_names, step, halves) for step in steps},
        cells=cells,
        train=train,
        labels=labels,
    )


def _effects(x: sp.csr_matrix, labels: pd.DataFrame, genes: pd.Index, step: Step, halves: np.ndarray) -> Effects:
    """Average the changes of a step over perturbations: all parts and contexts by one weighted sum over cells."""
    parts = [_effect_weights(labels[own], step) for own in (halves >= 0, halves == 0, halves == 1)]
    parts.append(parts[1][parts[1]["weight"] > 0])  # the perturbed cells alone
    contexts = [sorted(part["context"].unique()) for part in parts]
    place = {key: row for row, key in enumerate((n, c) for n, names in enumerate(contexts) for c in names)}
    rows = [place[n, context] for n, part in enumerate(parts) for context in part["context"]]
    entries = pd.concat(parts)
    weights = sp.csr_matrix((entries["weight"], (rows, entries.index)), (len(place), x.shape[0]), dtype=np.float64)
    means = np.split((weights @ x).toarray(), np.cumsum([len(names) for names in contexts])[:-1])
    every, first, second, reached = (pd.DataFrame(m, c, genes) for m, c in zip(means, contexts, strict=True))
    return Effects(_with_mean(every), _with_mean(first), _with_mean(second), reached)


def _with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """Add row "", the mean over contexts, which is 0 where there are none."""
    table.loc[""] = table.mean(axis=0) if len(table) else 0.0
    return table


def _effect_weights(labels: pd.DataFrame, step: Step) -> pd.DataFrame:
    """Weight of each cell in the mean, over a context's perturbations, of their change from controls or from a lower dose.

    Perturbations that lack cells at either end are left out. Columns context and weight, index as in `labels`.
    """
    start, end = step
    perturbed = labels["perturbation"] != CONTROL
    by = ["context"] if start is None else ["context", "perturbation"]
    ends, starts = labels[perturbed & _at(labels, end)], labels[perturbed & _at(labels, start)]
    if start is None:
        starts = labels[~perturbed]
    keys = pd.MultiIndex.from_frame(ends[by]), pd.MultiIndex.from_frame(starts[by])
    ends, starts = ends[keys[0].isin(keys[1])], starts[keys[1].isin(keys[0])]
    n = ends.groupby("context")["perturbation"].nunique()
    gained = 1 / ends.groupby(["context", "perturbation"])["dose"].transform("size") / ends["context"].map(n)
    lost = 1 / starts.groupby(by)["dose"].transform("size")
    if start is not None:
        lost /= starts["context"].map(n)
    return pd.concat([ends.assign(weight=gained), starts.assign(weight=-lost)])[["context", "weight"]]


def _at(labels: pd.DataFrame, dose: float | None) -> pd.Series:
    return labels["dose"] >= 0.0 if dose is None else labels["dose"] == dose


@dataclass(frozen=True)
class ScoredFold:
    """Inputs I, references R and labels of all test conditions of one fold and direction."""

    direction: Direction
    cells: CellTable
    """All cells, in the run's space; rows are taken from it one condition at a time."""
    conditions: tuple[TestCondition, ...]
    contexts: np.ndarray
    perturbations: np.ndarray
    doses: np.ndarray
    """Dose of each condition, nM; NaN where it has none."""
    start: np.ndarray
    """Mean profiles of the input cells I [condition, gene]."""
    reference: np.ndarray
    """Mean profiles of the reference cells R."""
    shared: np.ndarray
    """Mean profiles of I and R together: the one control mean that peers subtract from both sides."""
    sorted_reference: Sequence[SortedCells]
    """R with every gene's values sorted, one entry a condition; conditions with the same R share one object."""
    reference_means: Sequence[np.ndarray]
    """Mean linear values of R [gene], or its mean profile in a space without linear values; shared as above."""
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

    def __len__(self) -> int:
        return len(self.conditions)

    def input_cells(self, number: int) -> Cells:
        """Single cells that the prediction starts from."""
        return take(self.cells, self.conditions[number].input(self.direction))

    def labels(self) -> dict[str, np.ndarray]:
        """Columns context, perturbation and dose of a table of all conditions."""
        return {"context": self.contexts, "perturbation": self.perturbations, "dose": self.doses}

    @property
    def other_genes(self) -> np.ndarray:
        """Mark the genes other than a condition's perturbed ones [condition, gene]."""
        found = np.ones(self.start.shape, dtype=bool)
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

    def project(self, number: int, cells: Cells) -> np.ndarray | None:
        """Transform cells to the training cells' principal components [cell, component]; None without training.

        The condition's perturbed genes are taken to be 0 in every cell, so that they are in no distance.
        """
        if self.training is None:
            return None
        components, own = self.training.components, self.perturbed_genes(number)
        return components.transform(cells) - cells[:, own] @ components.components_[:, own].T

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
) -> ScoredFold:
    """Compute what all predictions of a fold share, from all cells in the run's space; "zscore" has no fold changes.

    `training` is from `summarise_training`; without it, metrics that need training cells are `unsupported`.
    """
    linear = space != "zscore"
    # many conditions share their input and reference cells
    key: Callable[[np.ndarray], bytes] = np.ndarray.tobytes
    mean = once(lambda positions: mean_profile(take(cells, positions)), key)
    ordered = once(lambda positions: sort_cells(take(cells, positions)), key)
    linear_means = once(lambda positions: linear_mean(ordered(positions)) if linear else mean(positions), key)
    starts = [c.input(direction) for c in split.conditions]
    references = [c.reference(direction) for c in split.conditions]
    perturbations = [c.perturbation for c in split.conditions]
    return ScoredFold(
        direction=direction,
        cells=cells,
        conditions=split.conditions,
        contexts=np.array([c.context for c in split.conditions]),
        perturbations=np.array(perturbations),
        doses=np.array([c.dose for c in split.conditions], dtype=np.float64),
        start=np.stack([mean(i) for i in starts]),
        reference=np.stack([mean(r) for r in references]),
        shared=np.stack([mean(np.sort(np.concatenate(pair))) for pair in zip(starts, references, strict=True)]),
        sorted_reference=[ordered(r) for r in references],
        reference_means=[linear_means(r) for r in references],
        own_gene=own_columns(perturbations, cells.var_names),
        training=training,
        linear=linear,
        seed=seed,
        threads=threads,
    )


def once(compute: Callable[[A], T], key: Callable[[A], Hashable]) -> Callable[[A], T]:
    """Compute a function once for all arguments of the same key, in whichever thread comes first."""
    known: dict[Hashable, T] = {}
    lock = Lock()

    def found(argument: A) -> T:
        name = key(argument)
        with lock:
            if name not in known:
                known[name] = compute(argument)
        return known[name]

    return found


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
