"""Summaries of true and predicted cells, read one condition at a time: all that metrics need to know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.contract import Prediction
from benchmarks.scoring.cell_sets import CellPool, CellSets, Picked, Tested, TrueCells, take
from benchmarks.scoring.metrics.copying import MarginBounds, honest_margin
from benchmarks.scoring.metrics.differential import Tests, linear_mean
from benchmarks.scoring.metrics.distribution import bandwidth, e_distance_and_mmd, wasserstein
from benchmarks.scoring.metrics.rank_sum import SortedCells, sort_cells
from benchmarks.scoring.scored_fold import ScoredFold

TOPS = (20, 50, 100)
BANDWIDTH_CELLS = 500
"""Most cells a side from which the kernel's bandwidth is estimated; both sides give equally many."""


@dataclass(frozen=True)
class TruthSummary:
    """True cells of every condition, summarised once for all models."""

    positions: Sequence[np.ndarray]
    """Positions of the true cells in the fold's cells, ascending, one array a condition."""
    profiles: np.ndarray
    """Mean profiles [condition, gene]."""
    significant: np.ndarray
    """Genes changed from R at FDR < 0.05 [condition, gene]; never a condition's perturbed ones, which are not tested."""
    lfc: np.ndarray
    """log2 fold changes against R [condition, gene]."""
    bandwidths: np.ndarray
    """Bandwidth of the kernel of `mmd_rbf` [condition], in units of the principal components."""
    margin_bound: np.ndarray
    """Lower 95 % bound of the copy margin of real cells compared with these true cells [condition]."""
    half_margin_bound: np.ndarray
    """The same for cells compared with half of them."""

    @cached_property
    def tops(self) -> Mapping[int, np.ndarray]:
        """k → the k significant genes of largest |log2 fold change|; no gene where fewer are significant."""
        return top_genes(self.significant, self.lfc, TOPS)

    @property
    def n_cells(self) -> np.ndarray:
        """Number of true cells [condition]."""
        return np.array([len(own) for own in self.positions])


@dataclass(frozen=True)
class PredictionSummary:
    """Predictions of every condition, summarised; where there are no predicted cells, all that needs them is NaN."""

    quantities: dict[str, np.ndarray]
    """Mean profiles "predicted", tests against R "p_hat", "significant_hat" and "lfc_hat" [condition, gene], and the three
    distances [condition]."""
    has_cells: np.ndarray
    """Whether single cells were predicted [condition]."""

    @classmethod
    def of_means(cls, profiles: np.ndarray) -> PredictionSummary:
        """Mean profiles alone, without cells."""
        n, shape = len(profiles), profiles.shape
        found = {
            "predicted": profiles.copy(),
            "p_hat": np.full(shape, np.nan),
            "significant_hat": np.zeros(shape, dtype=bool),
            "lfc_hat": np.full(shape, np.nan),
            "e_distance": np.full(n, np.nan),
            "mmd_rbf": np.full(n, np.nan),
            "wasserstein": np.full(n, np.nan),
        }
        return cls(found, np.zeros(n, dtype=bool))


class OfWhole(Protocol):
    """What the summary of half of the true cells takes from that of all."""

    @property
    def bandwidths(self) -> np.ndarray:
        """Bandwidth of the kernel [condition]."""

    @property
    def half_margin_bound(self) -> np.ndarray:
        """Lower bound of the copy margin of real cells compared with half of the true cells [condition]."""


def summarise_truth(
    fold: ScoredFold, positions: Sequence[np.ndarray] | None = None, *, like: OfWhole | None = None
) -> TruthSummary:
    """Summarise the true cells at the positions given, one array a condition; default: all test cells.

    Where they are half of the test cells, `like` is the summary of all, whose kernel widths and copy bounds are used too.
    """
    own = fold.true_positions() if positions is None else positions

    def summarise(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, MarginBounds]:
        cells = fold.true_cells(number, own[number])
        if like:
            width, half = like.bandwidths[number], like.half_margin_bound[number]
            bound = MarginBounds(half, half)
        else:
            width = _bandwidth(fold, number, cells)
            sums = fold.sets.margin_sums(own[number], fold.truth_generator(number, "margin"))
            bound = honest_margin(sums, fold.sets.reference(fold.conditions[number].reference(fold.direction)).profile)
        tests = _test_genes(fold, number, cells)
        return cells.profile, tests.significant(fold.perturbed_genes(number)), tests.lfc, width, bound

    profiles, significant, lfc, widths, bounds = zip(*fold.each(summarise), strict=True)
    return TruthSummary(
        positions=own,
        profiles=np.array(profiles),
        significant=np.array(significant),
        lfc=np.array(lfc),
        bandwidths=np.array(widths),
        margin_bound=np.array([bound.whole for bound in bounds]),
        half_margin_bound=np.array([bound.half for bound in bounds]),
    )


def top_genes(significant: np.ndarray, lfc: np.ndarray, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    """Mark the k significant genes of largest |log2 fold change| [condition, gene], for every k.

    No gene of a condition with fewer significant ones. Ties at the cut are broken by the gene's position.
    """
    order = np.argsort(np.where(significant, -np.abs(lfc), 1.0), axis=1, kind="stable")
    found = {}
    for k in sizes:
        chosen = np.zeros_like(significant)
        np.put_along_axis(chosen, order[:, :k], True, axis=1)
        found[k] = chosen & (significant.sum(axis=1) >= k)[:, None]
    return found


class PredictedCells(NamedTuple):
    """Cells of one prediction, as they are compared with the truth."""

    ordered: SortedCells
    linear_mean: np.ndarray
    """Mean linear values [gene], or the mean profile in a space without linear values."""
    some: Callable[[np.ndarray], tuple[SortedCells, np.ndarray | None]]
    """Sort the cells in some rows, and transform them to principal components."""
    picked: Picked | None = None
    """Where the cells were picked from, if they were."""


Answer = tuple[np.ndarray, PredictedCells | None]
"""Mean profile [gene], and cells, where there are two or more."""


def summarise_predictions(
    fold: ScoredFold, truth: TruthSummary, load: Callable[[int], Prediction | None]
) -> PredictionSummary:
    """Summarise predictions, reading one condition's at a time.

    `load` gives a condition's prediction by its number; where it gives None, the input's profile takes its place, so that
    retrieval has a full set of candidates.
    """
    last: tuple[Prediction, np.ndarray, tuple[SortedCells, np.ndarray] | None] | None = None

    def means_of(prediction: Prediction) -> tuple[np.ndarray, tuple[SortedCells, np.ndarray] | None]:
        mean = prediction.mean()
        if prediction.unit != "cell" or len(prediction) < 2:
            return mean, None
        ordered = sort_cells(prediction.values)
        return mean, (ordered, linear_mean(ordered) if fold.linear else mean)

    def read(number: int) -> Answer | None:
        nonlocal last
        prediction = load(number)
        if prediction is None:
            return None
        known = last  # a model may predict the same for many conditions
        if known is None or known[0] is not prediction:
            last = known = prediction, *means_of(prediction)
        _, mean, cells = known
        if cells is None:
            return mean, None
        ordered, linear = cells

        def some(rows: np.ndarray) -> tuple[SortedCells, np.ndarray | None]:
            chosen = prediction.values[rows]
            return ordered if len(rows) == len(prediction) else sort_cells(chosen), fold.project(number, chosen)

        return mean, PredictedCells(ordered, linear, some)

    return _summarise(fold, truth, read)


def summarise_cells(
    fold: ScoredFold,
    truth: TruthSummary,
    positions: Callable[[int], np.ndarray],
    sets: CellSets | None = None,
    *,
    own_genes_at: float | None = None,
) -> PredictionSummary:
    """Summarise real cells as predictions, those at the positions of each condition; a condition without any has none.

    `sets` are of the table that the cells are in; default: the fold's. Cells that conditions share are read once. With
    `own_genes_at` the condition's perturbed genes have this value in the mean profiles; no metric of single cells looks at them.
    """
    source = sets or fold.sets

    def read(number: int) -> Answer | None:
        own = positions(number)
        if not len(own):
            return None
        reference = fold.conditions[number].reference(fold.direction)
        cells = source.shared(own, reference) if fold.direction == "n2p" else source.true(own)
        profile = cells.profile
        if own_genes_at is not None:
            profile = profile.copy()
            profile[fold.perturbed_genes(number)] = own_genes_at
        return profile, _as_predicted(fold, number, cells, own, source)

    return _summarise(fold, truth, read)


def summarise_parts(fold: ScoredFold, truth: TruthSummary, positions: Callable[[int], np.ndarray]) -> PredictionSummary:
    """Summarise some of each condition's true cells, at the positions given, as predictions."""

    def read(number: int) -> Answer | None:
        own = positions(number)
        if not len(own):
            return None
        cells = fold.true_cells(number, own)
        return cells.profile, _as_predicted(fold, number, cells, own, fold.sets)

    return _summarise(fold, truth, read)


def summarise_picked(
    fold: ScoredFold, truth: TruthSummary, pick: Callable[[int], tuple[CellPool, Sequence[np.ndarray]]], n: int
) -> list[PredictionSummary]:
    """Summarise `n` sets of cells of each condition's pool as predictions; `pick` gives the pool and the rows of each set."""
    summaries = [PredictionSummary.of_means(fold.start) for _ in range(n)]

    def add(number: int) -> None:
        pool, sets = pick(number)
        for summary, own in zip(summaries, sets, strict=True):
            cells = pool.pick(own, lambda cells: Prediction(cells, unit="cell").mean())
            _add(fold, truth, summary, number, cells.profile, _as_predicted(fold, number, cells, own, fold.sets))

    fold.each(add)
    return summaries


def _as_predicted(
    fold: ScoredFold, number: int, cells: TrueCells, positions: np.ndarray, sets: CellSets
) -> PredictedCells | None:
    """Take real cells, at the positions given, for predicted ones; None of fewer than two."""
    if len(positions) < 2:
        return None

    def some(rows: np.ndarray) -> tuple[SortedCells, np.ndarray | None]:
        return sets.some(cells, positions, rows), fold.project_true(number, cells, rows)

    return PredictedCells(cells.ordered, cells.linear_mean, some, cells.picked)


def _summarise(fold: ScoredFold, truth: TruthSummary, read: Callable[[int], Answer | None]) -> PredictionSummary:
    summary = PredictionSummary.of_means(fold.start)

    def add(number: int) -> None:
        found = read(number)
        if found is not None:
            _add(fold, truth, summary, number, *found)

    fold.each(add)
    return summary


def _add(
    fold: ScoredFold,
    truth: TruthSummary,
    summary: PredictionSummary,
    number: int,
    profile: np.ndarray,
    cells: PredictedCells | None,
) -> None:
    """Fill in one condition's prediction."""
    summary.quantities["predicted"][number] = profile
    if cells and len(truth.positions[number]) > 1:
        _add_tests(fold, summary, number, _test_genes(fold, number, cells))
        _add_distances(fold, truth, summary, number, cells)


def summarise_truth_as_prediction(fold: ScoredFold, truth: TruthSummary) -> PredictionSummary:
    """Summarise the true cells as predictions of themselves: at distance 0 gene by gene, and without U-statistics."""
    summary = PredictionSummary.of_means(truth.profiles)

    def add(number: int) -> None:
        if len(truth.positions[number]) > 1:
            cells = fold.true_cells(number, truth.positions[number])
            _add_tests(fold, summary, number, _test_genes(fold, number, cells))
            summary.quantities["wasserstein"][number] = 0.0

    fold.each(add)
    return summary


def _add_tests(fold: ScoredFold, summary: PredictionSummary, number: int, tests: Tests) -> None:
    summary.has_cells[number] = True
    significant = tests.significant(fold.perturbed_genes(number))
    for name, values in (("p_hat", tests.p), ("significant_hat", significant), ("lfc_hat", tests.lfc)):
        summary.quantities[name][number] = values


def _add_distances(
    fold: ScoredFold, truth: TruthSummary, summary: PredictionSummary, number: int, predicted: PredictedCells
) -> None:
    """Fill in the distances between cells; both sides have equally many, the first of a random order."""
    found, positions, n_predicted = summary.quantities, truth.positions[number], predicted.ordered.n_cells
    n = min(n_predicted, len(positions))
    true = fold.true_cells(number, positions)
    order = fold.truth_generator(number, "order").permutation(len(positions))[:n]
    chosen = fold.generator(number, "equal sizes").permutation(n_predicted)[:n]
    output, y = predicted.some(chosen)
    target = fold.sets.some(true, positions, order)
    found["wasserstein"][number] = wasserstein(target, output, fold.perturbed_genes(number))
    x = fold.project_true(number, true, order)
    if x is not None and y is not None:
        both = e_distance_and_mmd(x, y, truth.bandwidths[number])
        found["e_distance"][number], found["mmd_rbf"][number] = both


def _test_genes(fold: ScoredFold, number: int, cells: Tested) -> Tests:
    """Test every gene of some cells against the condition's reference cells R."""
    return fold.sets.tests(cells, fold.conditions[number].reference(fold.direction))


def _bandwidth(fold: ScoredFold, number: int, truth: TrueCells) -> float:
    """Median distance among true and reference cells: the same for every model; NaN without training cells."""
    positions, n_true = fold.conditions[number].reference(fold.direction), truth.ordered.n_cells
    n = min(BANDWIDTH_CELLS, len(positions), n_true)
    generator = fold.generator(number, "bandwidth")
    cells = take(fold.cells, np.sort(generator.choice(positions, n, replace=False)))
    own, others = fold.project_true(number, truth, generator.permutation(n_true)[:n]), fold.project(number, cells)
    return float("nan") if own is None or others is None else bandwidth(own, others)
