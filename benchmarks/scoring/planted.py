"""Planted predictors of known quality: do the metrics put them in order (rank recovery)?

A planted predictor gives one half of a condition's true cells, of which a share has been exchanged for cells of a mixture:
the larger the share, the worse it is. The other half is the truth.

"noise"        cells of the same half with values exchanged among genes of like expression in the input: the effects are
               as large as before, on the wrong genes
"mean_effect"  perturbed training cells of the same context (and dose), of any perturbation
"input"        input cells
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.contract import Prediction
from benchmarks.scoring.evaluate import evaluate
from benchmarks.scoring.prediction_summary import summarise_predictions
from benchmarks.scoring.references import dense, halves
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.table import Cells, take
from benchmarks.scoring.truth_summary import TruthSummary, summarise_truth

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LIKE_GENES = 20
"""Genes of like mean expression in the input among which the noise exchanges values."""
Draw = Callable[[int, int, np.random.Generator], np.ndarray]
"""(condition, number of cells, generator) → dense cells of a mixture."""


def planted(fold: ScoredFold, whole: TruthSummary) -> pd.DataFrame:
    """Score the planted predictors; `whole` is the summary of all test cells.

    Returns
    -------
    pd.DataFrame
        Columns mixture, share, context, perturbation, dose, metric, value, status. Share 0 is the same for every mixture. A
        mixture without cells (no perturbed training cell in a context) is left out.
    """
    half, true = halves(fold, 0)
    truth = summarise_truth(fold, true, like=whole)
    mixtures = _mixtures(fold, half)
    pure = _score(fold, truth, _mixed(fold, half, mixtures["noise"], 0.0))
    tables = []
    for mixture, draw in mixtures.items():
        for share in SHARES:
            scored = _score(fold, truth, _mixed(fold, half, draw, share)) if share else pure
            tables.append(scored.assign(mixture=mixture, share=share))
    return pd.concat(tables, ignore_index=True)


def _score(fold: ScoredFold, truth: TruthSummary, load: Callable[[int], Prediction]) -> pd.DataFrame:
    values = evaluate(fold, truth, summarise_predictions(fold, truth, load))
    tables = [
        pd.DataFrame({**fold.labels(), "metric": name, "value": scores.values, "status": scores.status})
        for name, scores in values.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _mixed(fold: ScoredFold, half: Callable[[int], Cells], draw: Draw, share: float) -> Callable[[int], Prediction]:
    """Exchange a share of a half's cells for cells of a mixture."""

    def load(number: int) -> Prediction:
        generator = fold.generator(number, "planted")
        cells = dense(half(number)).copy()
        exchanged = generator.permutation(len(cells))[: round(share * len(cells))]
        if len(exchanged):
            cells[exchanged] = draw(number, len(cells), generator)[: len(exchanged)]
        return Prediction(cells, unit="cell")

    return load


def _mixtures(fold: ScoredFold, half: Callable[[int], Cells]) -> dict[str, Draw]:
    """Mixture → how its cells are drawn: `n` cells at random, with replacement only where there are fewer."""
    training = fold.training

    def draw_from(positions_of: Callable[[int], np.ndarray]) -> Draw:
        def draw(number: int, n: int, generator: np.random.Generator) -> np.ndarray:
            positions = positions_of(number)
            chosen = generator.choice(positions, n, replace=len(positions) < n)
            unique, back = np.unique(chosen, return_inverse=True)
            return dense(take(fold.cells, unique))[back]

        return draw

    found: dict[str, Draw] = {
        "noise": lambda number, n, generator: _shuffled_genes(dense(half(number)), fold.start[number], generator)
    }
    if training is not None and all(len(training.perturbed_like(c)) for c in fold.conditions):
        found["mean_effect"] = draw_from(lambda number: training.perturbed_like(fold.conditions[number]))
    found["input"] = draw_from(lambda number: fold.conditions[number].input(fold.direction))
    return found


def _shuffled_genes(cells: np.ndarray, start: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Exchange whole genes within groups of like mean expression in the input."""
    order = np.argsort(start, kind="stable")
    source = order.copy()
    for first in range(0, len(order), LIKE_GENES):
        group = slice(first, first + LIKE_GENES)
        source[group] = generator.permutation(order[group])
    shuffled = np.empty_like(cells)
    shuffled[:, order] = cells[:, source]
    return shuffled
