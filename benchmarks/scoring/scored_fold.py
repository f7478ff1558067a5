"""One fold and direction as it is scored: what its training cells, inputs and references say, shared by all predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.contract import CONTROL, Direction
from benchmarks.data.cell_table import CellTable
from benchmarks.data.readers.gene_columns import match_genes
from benchmarks.scoring.cell_sets import CellSets, Recent, TrueCells, take
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.metrics.rank_sum import Cells
from benchmarks.scoring.training_summary import Part, TrainingSummary
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import TestCondition
from benchmarks.tasks.splits import Split

T = TypeVar("T")
Start = Literal["start", "reference", "shared"]
"""What a predicted change is measured from: I, R, or both together."""


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

    def true_cells(self, number: int, positions: np.ndarray) -> TrueCells:
        """Summarise some or all of a condition's true cells, at ascending positions.

        In n2p conditions share the reference, and each has true cells of its own; in p2n it is the other way round.
        """
        if self.direction == "p2n":
            return self.sets.true(positions)
        condition = self.conditions[number]
        whole, reference = condition.truth(self.direction), condition.reference(self.direction)
        return self.sets.part(whole, positions, reference)

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

    def each(self, work: Callable[[int], T], n: int | None = None) -> list[T]:
        """Call `work` with the number of every condition, or `n` numbers, in `threads` threads, each with a single-threaded BLAS."""
        numbers = range(len(self) if n is None else n)
        with threadpool_limits(1 if self.threads > 1 else None):
            if self.threads == 1:
                return [work(number) for number in numbers]
            with ThreadPoolExecutor(self.threads) as pool:
                return list(pool.map(work, numbers))


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
