"""Summary of what a model predicted for every condition of a fold, read one condition at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock

import numpy as np

from benchmarks.contract import Prediction
from benchmarks.scoring.metrics.differential import Tests
from benchmarks.scoring.metrics.distribution import distance_within, e_distance, kernel_within, mmd_rbf, wasserstein
from benchmarks.scoring.metrics.rank_sum import SortedCells, sort_cells
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.truth_summary import TruthSummary, gene_tests


@dataclass
class PredictionSummary:
    """Predictions of every condition, summarised; conditions without predicted cells are NaN in all that needs cells."""

    profiles: np.ndarray
    """Mean profiles [condition, gene]."""
    has_cells: np.ndarray
    """Whether single cells were predicted [condition]."""
    p: np.ndarray
    """p values of the tests against R [condition, gene]."""
    significant: np.ndarray
    lfc: np.ndarray
    distances: dict[str, np.ndarray]
    """e_distance, mmd_rbf and wasserstein [condition]."""

    @classmethod
    def empty(cls, profiles: np.ndarray) -> PredictionSummary:
        """Mean profiles alone, without cells."""
        n, shape = len(profiles), profiles.shape
        return cls(
            profiles=profiles.copy(),
            has_cells=np.zeros(n, dtype=bool),
            p=np.full(shape, np.nan),
            significant=np.zeros(shape, dtype=bool),
            lfc=np.full(shape, np.nan),
            distances={name: np.full(n, np.nan) for name in ("e_distance", "mmd_rbf", "wasserstein")},
        )


@dataclass(frozen=True)
class _Predicted:
    """One prediction, summarised; `ranked` and `tests` are None without single cells."""

    prediction: Prediction
    mean: np.ndarray
    ranked: SortedCells | None = None
    tests: Tests | None = None


def summarise_predictions(
    fold: ScoredFold,
    truth: TruthSummary,
    load: Callable[[int], Prediction | None],
    *,
    alike: Callable[[int], Hashable] | None = None,
) -> PredictionSummary:
    """Summarise predictions, reading one condition's at a time.

    Parameters
    ----------
    load
        Number of a condition → its prediction; None where there is none: the input's profile takes its place, so that
        retrieval has a full set of candidates.
    alike
        Number of a condition → a key that is equal where predictions and references are the same, as those of a copied
        input: they are read and tested once. Default: every prediction is its own.
    """
    summary = PredictionSummary.empty(fold.start)
    known: dict[Hashable, _Predicted | None] = {}
    lock = Lock()

    def read(number: int) -> _Predicted | None:
        prediction = load(number)
        return None if prediction is None else _summarised(fold, number, prediction)

    def read_once(number: int, key: Hashable) -> _Predicted | None:
        with lock:
            if key not in known:
                known[key] = read(number)
        return known[key]

    def add(number: int) -> None:
        found = read_once(number, alike(number)) if alike else read(number)
        if found is None:
            return
        summary.profiles[number] = found.mean
        _add_cells(fold, truth, summary, number, found)

    fold.each(add)
    return summary


def _summarised(fold: ScoredFold, number: int, prediction: Prediction) -> _Predicted:
    mean = prediction.mean()
    if prediction.unit != "cell" or len(prediction.values) < 2:
        return _Predicted(prediction, mean)
    ranked = sort_cells(prediction.values)
    return _Predicted(prediction, mean, ranked, gene_tests(fold, number, ranked, mean))


def _add_cells(
    fold: ScoredFold, truth: TruthSummary, summary: PredictionSummary, number: int, predicted: _Predicted
) -> None:
    """Fill in what needs single cells."""
    cells, ranked, tests = predicted.prediction.values, predicted.ranked, predicted.tests
    n = min(cells.shape[0], truth.n_cells[number])
    if ranked is None or tests is None or n < 2:
        return
    summary.has_cells[number] = True
    summary.p[number], summary.significant[number], summary.lfc[number] = tests.p, tests.significant, tests.lfc
    true_chosen = truth.orders[number][:n]
    chosen = fold.generator(number, "equal sizes").permutation(cells.shape[0])[:n]
    ranked = ranked if n == cells.shape[0] else sort_cells(cells[chosen])
    summary.distances["wasserstein"][number] = wasserstein(sort_cells(truth.cells_of(number)[true_chosen]), ranked)
    projected, y = truth.projected[number], fold.project(cells[chosen])
    if projected is None or y is None:
        return
    x, sigma = projected[true_chosen], truth.bandwidths[number]
    if (number, n) not in truth.within:
        truth.within[number, n] = distance_within(x), kernel_within(x, sigma)
    distance, kernel = truth.within[number, n]
    summary.distances["e_distance"][number] = e_distance(x, y, distance)
    summary.distances["mmd_rbf"][number] = mmd_rbf(x, y, sigma, kernel)
