"""Summaries of true and predicted cells, read one condition at a time: all that metrics need to know of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.contract import Prediction
from benchmarks.scoring.metrics.copying import MarginBounds, honest_margin
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
from benchmarks.scoring.scored_fold import ScoredFold, mean_profile, once, take

TOPS = (20, 50, 100)
_PredictedCells = tuple[np.ndarray, SortedCells, Tests]
"""Cells [cell, gene], sorted and tested."""
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
    tops: Mapping[int, np.ndarray]
    """k → the k significant genes of largest |log2 fold change|; no gene where fewer are significant."""
    projected: Sequence[np.ndarray | None]
    """Cells in principal components; None without training cells."""
    bandwidths: np.ndarray
    """Bandwidth of the kernel of `mmd_rbf` [condition], in units of the principal components."""
    margin_bound: np.ndarray
    """Lower 95 % bound of the copy margin of real cells compared with these true cells [condition]."""
    half_margin_bound: np.ndarray
    """The same for cells compared with half of them."""
    orders: Sequence[np.ndarray]
    """A random order of every condition's cells, whose first n are taken where equal sizes are needed."""
    within: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    """(condition, cells) → mean distance and mean kernel among the first so many cells of the order, once computed."""

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


def summarise_truth(
    fold: ScoredFold, positions: Sequence[np.ndarray] | None = None, *, like: TruthSummary | None = None
) -> TruthSummary:
    """Summarise the true cells at the positions given, one array a condition; default: all test cells.

    Where they are half of the test cells, `like` is the summary of all, whose kernel widths and copy bounds are used too.
    """
    own = [c.truth(fold.direction) for c in fold.conditions] if positions is None else positions

    def summarise(number: int) -> tuple[np.ndarray, Tests, np.ndarray | None, float, MarginBounds, np.ndarray]:
        cells = take(fold.cells, own[number])
        profile = mean_profile(cells)
        projected = fold.project(number, cells)
        if like:
            width, half = like.bandwidths[number], like.half_margin_bound[number]
            bound = MarginBounds(half, half)
        else:
            width = _bandwidth(fold, number, projected)
            bound = honest_margin(cells, fold.reference[number], fold.generator(number, "margin"))
        order = fold.generator(number, "order").permutation(len(own[number]))
        return profile, _test_genes(fold, number, sort_cells(cells), profile), projected, width, bound, order

    profiles, tests, projected, widths, bounds, orders = zip(*fold.each(summarise), strict=True)
    significant = np.array([t.significant(fold.perturbed_genes(number)) for number, t in enumerate(tests)])
    lfc = np.array([t.lfc for t in tests])
    return TruthSummary(
        positions=own,
        profiles=np.array(profiles),
        significant=significant,
        lfc=lfc,
        tops=top_genes(significant, lfc, TOPS),
        projected=projected,
        bandwidths=np.array(widths),
        margin_bound=np.array([bound.whole for bound in bounds]),
        half_margin_bound=np.array([bound.half for bound in bounds]),
        orders=orders,
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


def summarise_predictions(
    fold: ScoredFold,
    truth: TruthSummary,
    load: Callable[[int], Prediction | None],
    *,
    alike: Callable[[int], Hashable] | None = None,
) -> PredictionSummary:
    """Summarise predictions, reading one condition's at a time.

    `load` gives a condition's prediction by its number; where it gives None, the input's profile takes its place, so that
    retrieval has a full set of candidates. `alike` gives a key that is equal where predictions and references are the same,
    as those of a copied input: they are read and tested once.
    """
    summary = PredictionSummary.of_means(fold.start)

    def read(number: int) -> tuple[np.ndarray, _PredictedCells | None] | None:
        prediction = load(number)
        if prediction is None:
            return None
        mean, cells = prediction.mean(), prediction.values
        if prediction.unit != "cell" or len(cells) < 2:
            return mean, None
        ranked = sort_cells(cells)
        return mean, (cells, ranked, _test_genes(fold, number, ranked, mean))

    find = once(read, alike) if alike else read

    def add(number: int) -> None:
        found = find(number)
        if found is not None:
            summary.quantities["predicted"][number], tested = found
            if tested and len(truth.orders[number]) > 1:
                _add_cells(fold, truth, summary, number, tested)

    fold.each(add)
    return summary


def _add_cells(
    fold: ScoredFold, truth: TruthSummary, summary: PredictionSummary, number: int, predicted: _PredictedCells
) -> None:
    """Fill in what needs single cells; distances take equally many cells from both sides."""
    (cells, ranked, tests), found, order = predicted, summary.quantities, truth.orders[number]
    summary.has_cells[number] = True
    own = fold.perturbed_genes(number)
    for name, values in (("p_hat", tests.p), ("significant_hat", tests.significant(own)), ("lfc_hat", tests.lfc)):
        found[name][number] = values
    n = min(len(cells), len(order))
    chosen = fold.generator(number, "equal sizes").permutation(len(cells))[:n]
    true_cells = take(fold.cells, truth.positions[number])[order[:n]]
    ranked = ranked if n == len(cells) else sort_cells(cells[chosen])
    found["wasserstein"][number] = wasserstein(sort_cells(true_cells), ranked, own)
    projected, y = truth.projected[number], fold.project(number, cells[chosen])
    if projected is None or y is None:
        return
    x, sigma = projected[order[:n]], truth.bandwidths[number]
    if (number, n) not in truth.within:
        truth.within[number, n] = distance_within(x), kernel_within(x, sigma)
    distance, kernel = truth.within[number, n]
    found["e_distance"][number] = e_distance(x, y, distance)
    found["mmd_rbf"][number] = mmd_rbf(x, y, sigma, kernel)


def _test_genes(fold: ScoredFold, number: int, cells: SortedCells, profile: np.ndarray) -> Tests:
    """Test every gene of some cells, with mean profile [gene], against the condition's reference cells R."""
    mean = linear_mean(cells) if fold.linear else profile
    return test_genes(cells, fold.sorted_reference[number], mean, fold.reference_means[number], linear=fold.linear)


def _bandwidth(fold: ScoredFold, number: int, projected: np.ndarray | None) -> float:
    """Median distance among true and reference cells: the same for every model; NaN without training cells."""
    if projected is None:
        return float("nan")
    positions = fold.conditions[number].reference(fold.direction)
    n = min(BANDWIDTH_CELLS, len(positions), len(projected))
    generator = fold.generator(number, "bandwidth")
    cells = take(fold.cells, np.sort(generator.choice(positions, n, replace=False)))
    others = fold.project(number, cells)
    return float("nan") if others is None else bandwidth(projected[generator.permutation(len(projected))[:n]], others)
