"""Two sides of a comparison: the target (true cells) and an output (what was predicted), one condition at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from benchmarks.contract import Prediction
from benchmarks.scoring.metrics.copying import honest_margin
from benchmarks.scoring.metrics.differential import Tests, linear_mean, test_genes
from benchmarks.scoring.metrics.distribution import (
    bandwidth,
    distance_within,
    e_distance,
    kernel_within,
    mmd_rbf,
    wasserstein,
)
from benchmarks.scoring.metrics.rank_sum import SortedCells, sort_cells
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.table import Cells, mean_profile, take

TOPS = (20, 50, 100)
BANDWIDTH_CELLS = 500
"""Most cells a side from which the kernel's bandwidth is taken; both sides give equally many."""


@dataclass(frozen=True)
class Target:
    """True cells of every condition, summarised once and shared by all models."""

    cells_of: Callable[[int], Cells]
    profiles: np.ndarray
    """Mean profiles [condition, gene]."""
    n_cells: np.ndarray
    significant: np.ndarray
    """Genes changed from R at FDR < 0.05 [condition, gene]."""
    lfc: np.ndarray
    """log2 fold changes against R [condition, gene]."""
    tops: dict[int, np.ndarray]
    """k → the k significant genes of largest |log2 fold change|; no gene where fewer are significant."""
    projected: Sequence[np.ndarray | None]
    """Cells in principal components; None without training cells."""
    bandwidths: np.ndarray
    """Bandwidth of the kernel of `mmd_rbf` [condition], in units of the principal components."""
    margin_bound: np.ndarray
    """Lower 95 % bound of an honest copy margin [condition]."""
    orders: Sequence[np.ndarray]
    """A random order of every condition's cells, from which equal sizes are cut."""
    within: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    """(condition, cells) → mean distance and mean kernel among the first so many cells of the order, once computed."""


@dataclass
class Output:
    """What was predicted for every condition; rows without cells are NaN in all that needs cells."""

    profiles: np.ndarray
    has_cells: np.ndarray
    """Whether single cells were predicted [condition]."""
    p: np.ndarray
    significant: np.ndarray
    lfc: np.ndarray
    distances: dict[str, np.ndarray] = field(default_factory=dict)
    """e_distance, mmd_rbf and wasserstein [condition]."""

    @classmethod
    def empty(cls, profiles: np.ndarray) -> Output:
        """Mean profiles alone, without cells."""
        n, shape = len(profiles), profiles.shape
        nothing = {name: np.full(n, np.nan) for name in ("e_distance", "mmd_rbf", "wasserstein")}
        return cls(
            profiles.copy(),
            np.zeros(n, dtype=bool),
            np.full(shape, np.nan),
            np.zeros(shape, dtype=bool),
            np.full(shape, np.nan),
            nothing,
        )


def target_of(
    question: ScoredFold, cells_of: Callable[[int], Cells] | None = None, *, like: Target | None = None
) -> Target:
    """Summarise the true side.

    Parameters
    ----------
    question
        From `scored_fold_of`.
    cells_of
        Number of a condition → its true cells; default: all test cells of the condition.
    like
        Target of all test cells, where `cells_of` gives a part of them: its kernel widths and copy bounds hold for the
        part too.
    """
    cells_of = cells_of or question.truth_cells

    def summarise(number: int) -> dict[str, object]:
        cells = cells_of(number)
        profile = mean_profile(cells)
        tests = _test(question, number, sort_cells(cells), profile)
        projected = question.project(cells)
        return {
            "profile": profile,
            "significant": tests.significant,
            "lfc": tests.lfc,
            "projected": projected,
            "bandwidth": like.bandwidths[number] if like else _bandwidth(question, number, projected),
            "bound": like.margin_bound[number] if like else _bound(question, number, cells),
            "order": question.generator(number, "order").permutation(cells.shape[0]),
        }

    found = question.each(summarise)

    def column(name: str) -> list:
        return [row[name] for row in found]

    significant, lfc = np.stack(column("significant")), np.stack(column("lfc"))
    return Target(
        cells_of=cells_of,
        profiles=np.stack(column("profile")),
        n_cells=np.array([len(order) for order in column("order")]),
        significant=significant,
        lfc=lfc,
        tops=top_genes(significant, lfc, TOPS),
        projected=column("projected"),
        bandwidths=np.array(column("bandwidth")),
        margin_bound=np.array(column("bound")),
        orders=column("order"),
    )


@dataclass(frozen=True)
class _Predicted:
    """One prediction, summarised."""

    prediction: Prediction
    mean: np.ndarray
    ranked: SortedCells | None
    """None without single cells."""
    tests: Tests | None


def output_of(
    question: ScoredFold,
    target: Target,
    load: Callable[[int], Prediction | None],
    *,
    alike: Callable[[int], Hashable] | None = None,
) -> Output:
    """Summarise the predicted side, reading one condition's prediction at a time.

    Parameters
    ----------
    question, target
        What is asked and what is true.
    load
        Number of a condition → its prediction; None where there is none: the input's profile takes its place, so that
        retrieval has a full set of candidates.
    alike
        Number of a condition → a key that is equal where predictions and references are the very same, as those of a copied
        input: they are read and tested once. Default: every prediction is its own.
    """
    output = Output.empty(question.start)
    known: dict[Hashable, _Predicted | None] = {}
    lock = Lock()

    def take_in(number: int) -> _Predicted | None:
        prediction = load(number)
        return None if prediction is None else _summarised(question, number, prediction)

    def once(number: int, key: Hashable) -> _Predicted | None:
        with lock:
            if key not in known:
                known[key] = take_in(number)
        return known[key]

    def summarise(number: int) -> None:
        found = once(number, alike(number)) if alike else take_in(number)
        if found is None:
            return
        output.profiles[number] = found.mean
        if found.ranked is not None and found.tests is not None:
            _add_cells(question, target, output, number, (found.prediction.values, found.ranked, found.tests))

    question.each(summarise)
    return output


def _summarised(question: ScoredFold, number: int, prediction: Prediction) -> _Predicted:
    mean = prediction.mean()
    if prediction.unit != "cell" or len(prediction.values) < 2:
        return _Predicted(prediction, mean, None, None)
    ranked = sort_cells(prediction.values)
    return _Predicted(prediction, mean, ranked, _test(question, number, ranked, mean))


def _add_cells(
    question: ScoredFold, target: Target, output: Output, number: int, predicted: tuple[Cells, SortedCells, Tests]
) -> None:
    """Fill in what needs single cells."""
    cells, ranked, tests = predicted
    n = min(cells.shape[0], target.n_cells[number])
    if n < 2:
        return
    output.has_cells[number] = True
    output.p[number], output.significant[number], output.lfc[number] = tests.p, tests.significant, tests.lfc
    mine = target.orders[number][:n]
    theirs = question.generator(number, "equal sizes").permutation(cells.shape[0])[:n]
    ranked = ranked if n == cells.shape[0] else sort_cells(cells[theirs])
    output.distances["wasserstein"][number] = wasserstein(sort_cells(target.cells_of(number)[mine]), ranked)
    truth_placed, placed = target.projected[number], question.project(cells[theirs])
    if truth_placed is not None and placed is not None:
        x, y = truth_placed[mine], placed
        sigma = target.bandwidths[number]
        if (number, n) not in target.within:
            target.within[number, n] = distance_within(x), kernel_within(x, sigma)
        of_distance, of_kernel = target.within[number, n]
        output.distances["e_distance"][number] = e_distance(x, y, of_distance)
        output.distances["mmd_rbf"][number] = mmd_rbf(x, y, sigma, of_kernel)


def _test(question: ScoredFold, number: int, cells: SortedCells, profile: np.ndarray) -> Tests:
    """Test every gene of some cells against the condition's reference."""
    mean = linear_mean(cells) if question.linear else profile
    reference = question.sorted_reference[number]
    return test_genes(cells, reference, mean, question.reference_means[number], linear=question.linear)


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


def _bound(question: ScoredFold, number: int, cells: Cells) -> float:
    """Lower 95 % bound of the copy margin that halves of these cells reach."""
    return honest_margin(cells, question.start[number], question.generator(number, "margin"))


def _bandwidth(question: ScoredFold, number: int, projected: np.ndarray | None) -> float:
    """Median distance among true and reference cells: the same for every model."""
    if projected is None or question.training is None:
        return float("nan")
    positions = question.conditions[number].reference(question.direction)
    n = min(BANDWIDTH_CELLS, len(positions), len(projected))
    generator = question.generator(number, "bandwidth")
    others = question.training.components.transform(
        take(question.cells, np.sort(generator.choice(positions, n, replace=False)))
    )
    return bandwidth(projected[generator.permutation(len(projected))[:n]], others)
