"""What no model is: the truth itself, half of it against the other half, other controls, the simulator's own truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL, Direction, Prediction
from benchmarks.scoring.comparison import Output, Target, output_of, target_of
from benchmarks.scoring.evaluate import Scores, Values, evaluate
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.table import Cells, take
from benchmarks.tasks.splits import TestCondition

REFERENCES = ("oracle", "ceiling", "expectation", "other_controls")
CEILING_REPEATS = 5
"""Random halvings of the truth that the ceiling is averaged over."""
U_STATISTICS = ("e_distance", "mmd_rbf")
"""Metrics of which cells are not at the best value from themselves: each cell meets itself."""


def references(question: ScoredFold, target: Target, expectation: np.ndarray | None) -> Iterator[tuple[str, Values]]:
    """Score every reference that the data allow.

    Parameters
    ----------
    question, target
        What is asked and what is true.
    expectation
        Noise-free mean profiles [condition, gene] of simulated data; None for real data.
    """
    ceiling = score_ceiling(question, target)
    yield "ceiling", ceiling
    # δ̂ = δ for the oracle: its change is measured from the same reference as the truth's
    itself = output_of(question, target, lambda number: as_prediction(target.cells_of(number)))
    oracle = evaluate(question, target, itself, start=question.reference)
    yield "oracle", {**oracle, **{name: ceiling[name] for name in U_STATISTICS if name in oracle}}
    if question.training is not None and question.direction == "n2p":
        yield "other_controls", evaluate(question, target, output_of(question, target, _other_controls(question)))
    if expectation is not None:
        yield "expectation", evaluate(question, target, Output.empty(expectation))


def halves(question: ScoredFold, repeat: int) -> tuple[Callable[[int], Cells], Callable[[int], Cells]]:
    """Split every condition's true cells in two disjoint random halves; the same for every caller."""

    def half(side: int) -> Callable[[int], Cells]:
        def cells_of(number: int) -> Cells:
            positions = question.conditions[number].truth(question.direction)
            order = question.generator(number, "halves", repeat).permutation(len(positions))
            cut = len(order) // 2
            chosen = order[:cut] if side == 0 else order[cut:]
            return take(question.cells, np.sort(positions[chosen]))

        return cells_of

    return half(0), half(1)


def score_ceiling(question: ScoredFold, whole: Target, repeats: int = CEILING_REPEATS) -> Values:
    """Score one half of the true cells as the prediction of the other, mean over random halvings.

    Both sides have disjoint controls: I for the half that predicts, R for the half that is the truth.
    """
    scored = []
    for repeat in range(repeats):
        predicted, true = halves(question, repeat)
        target = target_of(question, true, like=whole)
        scored.append(evaluate(question, target, output_of(question, target, _from_cells(predicted))))
    return {name: _average([s[name] for s in scored]) for name in scored[0]}


def expected_profiles(table: pd.DataFrame | None, question: ScoredFold, arm: str) -> np.ndarray | None:
    """Look the simulator's noise-free profiles up for each condition; None if there are none."""
    if table is None:
        return None
    keys = pd.MultiIndex.from_tuples([(c.context, arm, *_target(c, question.direction)) for c in question.conditions])
    if "dose" not in table.index.names:
        keys = keys.droplevel(-1)
    return table.loc[keys, list(question.cells.var_names)].to_numpy(dtype=np.float64)


def _target(condition: TestCondition, direction: Direction) -> tuple[str, float]:
    """Name the state that is predicted: perturbation and dose in nM, 0 where there is none."""
    dose = condition.doses(direction)[1]
    is_control = direction == "p2n" and dose is None
    return CONTROL if is_control else condition.perturbation, dose or 0.0


def as_prediction(cells: Cells) -> Prediction:
    """Give real cells as a prediction."""
    return Prediction(cells if isinstance(cells, np.ndarray) else cells.toarray(), unit="cell")


def _from_cells(cells_of: Callable[[int], Cells]) -> Callable[[int], Prediction]:
    return lambda number: as_prediction(cells_of(number))


def _other_controls(question: ScoredFold) -> Callable[[int], Prediction | None]:
    """Predict training cells of the state it starts from: what more such cells score that know of no perturbation."""
    training = question.training

    def load(number: int) -> Prediction | None:
        positions = training.start_like(question.conditions[number]) if training else np.array([], dtype=int)
        return as_prediction(take(question.cells, positions)) if len(positions) else None

    return load


def _average(repeats: list[Scores]) -> Scores:
    """Mean over the halvings in which a condition has a value; its first status where none has."""
    values = np.stack([r.values for r in repeats])
    has = np.isfinite(values)
    mean = np.where(has, values, 0.0).sum(axis=0) / np.maximum(has.sum(axis=0), 1)
    some = has.any(axis=0)
    return Scores(np.where(some, mean, np.nan), np.where(some, "ok", repeats[0].status))
