"""Unranked reference predictions: the truth itself, half of it for the other half, other controls, the simulator's truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL, Direction, Prediction
from benchmarks.scoring.evaluate import Scores, Values, evaluate
from benchmarks.scoring.prediction_summary import PredictionSummary, summarise_predictions
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.table import Cells, take
from benchmarks.scoring.truth_summary import TruthSummary, summarise_truth
from benchmarks.tasks.splits import TestCondition

REFERENCES = ("oracle", "ceiling", "expectation", "other_controls")
CEILING_REPEATS = 5
"""Random halvings of the truth that the ceiling is averaged over."""
U_STATISTICS = ("e_distance", "mmd_rbf")
"""Metrics in which a set of cells does not reach the best value when compared with itself."""


def references(fold: ScoredFold, truth: TruthSummary, expectation: np.ndarray | None) -> Iterator[tuple[str, Values]]:
    """Score every reference that the data allow; `expectation` are a simulator's noise-free profiles [condition, gene]."""
    ceiling = _score_ceiling(fold, truth)
    yield "ceiling", ceiling
    # δ̂ = δ for the oracle: its change is measured from the same reference as the truth's
    itself = summarise_predictions(fold, truth, _from_cells(truth.cells_of))
    oracle = evaluate(fold, truth, itself, start=fold.reference)
    yield "oracle", {**oracle, **{name: ceiling[name] for name in U_STATISTICS if name in oracle}}
    if fold.training is not None and fold.direction == "n2p":
        yield "other_controls", evaluate(fold, truth, summarise_predictions(fold, truth, _other_controls(fold)))
    if expectation is not None:
        yield "expectation", evaluate(fold, truth, PredictionSummary.empty(expectation))


def halves(fold: ScoredFold, repeat: int) -> tuple[Callable[[int], Cells], Callable[[int], Cells]]:
    """Split every condition's true cells in two disjoint random halves; the same for every caller."""

    def half(side: int) -> Callable[[int], Cells]:
        def cells_of(number: int) -> Cells:
            positions = fold.conditions[number].truth(fold.direction)
            order = fold.generator(number, "halves", repeat).permutation(len(positions))
            cut = len(order) // 2
            chosen = order[:cut] if side == 0 else order[cut:]
            return take(fold.cells, np.sort(positions[chosen]))

        return cells_of

    return half(0), half(1)


def _score_ceiling(fold: ScoredFold, whole: TruthSummary) -> Values:
    """Score one half of the true cells as the prediction of the other, mean over random halvings.

    Both sides have disjoint controls: I for the half that predicts, R for the half that is the truth.
    """
    scored = []
    for repeat in range(CEILING_REPEATS):
        predicted, true = halves(fold, repeat)
        truth = summarise_truth(fold, true, like=whole)
        scored.append(evaluate(fold, truth, summarise_predictions(fold, truth, _from_cells(predicted))))
    return {name: _average([s[name] for s in scored]) for name in scored[0]}


def expected_profiles(table: pd.DataFrame | None, fold: ScoredFold, arm: str) -> np.ndarray | None:
    """Look up the simulator's noise-free profiles [condition, gene]; None if there are none."""
    if table is None:
        return None
    keys = pd.MultiIndex.from_tuples([(c.context, arm, *_target(c, fold.direction)) for c in fold.conditions])
    if "dose" not in table.index.names:
        keys = keys.droplevel(-1)
    return table.loc[keys, list(fold.cells.var_names)].to_numpy(dtype=np.float64)


def _target(condition: TestCondition, direction: Direction) -> tuple[str, float]:
    """Return perturbation and dose of the state that is predicted: nM, 0 where there is none."""
    dose = condition.doses(direction)[1]
    is_control = direction == "p2n" and dose is None
    return CONTROL if is_control else condition.perturbation, dose or 0.0


def as_prediction(cells: Cells) -> Prediction:
    """Turn real cells into a prediction."""
    return Prediction(dense(cells), unit="cell")


def dense(cells: Cells) -> np.ndarray:
    """Return cells [cell, gene] as a dense array."""
    return cells if isinstance(cells, np.ndarray) else cells.toarray()


def _from_cells(cells_of: Callable[[int], Cells]) -> Callable[[int], Prediction]:
    return lambda number: as_prediction(cells_of(number))


def _other_controls(fold: ScoredFold) -> Callable[[int], Prediction | None]:
    """Predict training cells of the state that a condition starts from: cells that no perturbation has changed."""
    training = fold.training

    def load(number: int) -> Prediction | None:
        positions = training.start_like(fold.conditions[number]) if training else np.array([], dtype=int)
        return as_prediction(take(fold.cells, positions)) if len(positions) else None

    return load


def _average(repeats: list[Scores]) -> Scores:
    """Mean over the halvings in which a condition has a value; its first status where none has."""
    values = np.stack([r.values for r in repeats])
    has = np.isfinite(values)
    mean = np.where(has, values, 0.0).sum(axis=0) / np.maximum(has.sum(axis=0), 1)
    some = has.any(axis=0)
    return Scores(np.where(some, mean, np.nan), np.where(some, "ok", repeats[0].status))
