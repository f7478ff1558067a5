"""Predictors of known quality, planted to see whether a metric can put them in order (rank recovery).

A planted predictor gives one half of a condition's true cells, of which a share has been exchanged for cells of a mixture:
the larger the share, the worse it is, whatever a metric says. The other half is the truth.

"noise"        cells of the same half with values exchanged among genes that the input expresses alike: the effects are
               as large as before, on the wrong genes
"mean_effect"  perturbed training cells of the same context (and dose), whatever their perturbation
"input"        input cells
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from benchmarks.contract import Prediction
from benchmarks.scoring.comparison import Target, output_of, target_of
from benchmarks.scoring.evaluate import evaluate
from benchmarks.scoring.references import halves
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.table import Cells, take

MIXTURES = ("noise", "mean_effect", "input")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LIKE_GENES = 20
"""Genes of like mean expression in the input among which the noise exchanges values."""
Draw = Callable[[int, int, np.random.Generator], np.ndarray]
"""(condition, cells wanted, generator) → dense cells of a mixture."""


def planted(question: ScoredFold, whole: Target) -> pd.DataFrame:
    """Score the planted predictors.

    Parameters
    ----------
    question, whole
        What is asked, and the target of all test cells.

    Returns
    -------
    pd.DataFrame
        Columns mixture, share, context, perturbation, dose, metric, value, status. Share 0 is the same for every mixture. A
        mixture whose cells are not there (no perturbed training cell in a context) is left out.
    """
    half, true = halves(question, 0)
    target = target_of(question, true, like=whole)
    tables = []
    pure = None
    for mixture, draw in _mixtures(question, half):
        pure = _score(question, target, _mixed(question, half, draw, 0.0)) if pure is None else pure
        tables.append(pure.assign(mixture=mixture, share=0.0))
        for share in SHARES[1:]:
            scored = _score(question, target, _mixed(question, half, draw, share))
            tables.append(scored.assign(mixture=mixture, share=share))
    return pd.concat(tables, ignore_index=True)


def _score(question: ScoredFold, target: Target, load: Callable[[int], Prediction]) -> pd.DataFrame:
    values = evaluate(question, target, output_of(question, target, load))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    **question.labels(),
                    "metric": name,
                    "value": scores.values,
                    "status": scores.status,
                }
            )
            for name, scores in values.items()
        ],
        ignore_index=True,
    )


def _mixed(question: ScoredFold, half: Callable[[int], Cells], draw: Draw, share: float) -> Callable[[int], Prediction]:
    """Exchange a share of a half's cells for cells of a mixture."""

    def load(number: int) -> Prediction:
        generator = question.generator(number, "planted")
        cells = _dense(half(number)).copy()
        exchanged = generator.permutation(len(cells))[: round(share * len(cells))]
        if len(exchanged):
            cells[exchanged] = draw(number, len(cells), generator)[: len(exchanged)]
        return Prediction(cells, unit="cell")

    return load


def _mixtures(question: ScoredFold, half: Callable[[int], Cells]) -> Iterator[tuple[str, Draw]]:
    yield (
        "noise",
        lambda number, n, generator: _shuffled_genes(_dense(half(number)), question.start[number], generator),
    )
    training = question.training
    if training is not None and all(len(training.perturbed_like(c)) for c in question.conditions):
        yield (
            "mean_effect",
            lambda number, n, generator: _draw(
                question, training.perturbed_like(question.conditions[number]), n, generator
            ),
        )
    yield (
        "input",
        lambda number, n, generator: _draw(
            question, question.conditions[number].input(question.direction), n, generator
        ),
    )


def _draw(question: ScoredFold, positions: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """Take n cells at random, with replacement only where there are fewer."""
    chosen = generator.choice(positions, n, replace=len(positions) < n)
    unique, back = np.unique(chosen, return_inverse=True)
    return _dense(take(question.cells, unique))[back]


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


def _dense(cells: Cells) -> np.ndarray:
    return cells if isinstance(cells, np.ndarray) else cells.toarray()
