"""What is known of a fold before any model is scored: the truth's summary, and scores of predictions of known quality.

These are unranked references (the truth itself, half of it for the other half, other controls, the simulator's truth), and
planted predictors, which the metrics must put in order (rank recovery). They depend on the data, the split and the code of the
metrics alone, and cost more than scoring a model. So they are computed once, shared by all models, and kept on disk under a
hash of what they depend on.

A planted predictor gives one half of a condition's true cells, of which a share has been exchanged for cells of a mixture:
the larger the share, the worse it is. The other half is the truth.

"noise"        cells of the same half with values exchanged among genes of like expression in the input: the effects are
               as large as before, on the wrong genes
"mean_effect"  perturbed training cells of the same context (and dose), of any perturbation
"input"        input cells
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL, Prediction
from benchmarks.data.store import checked_arrays
from benchmarks.scoring.evaluate import Scores, Values, evaluate, score_rows
from benchmarks.scoring.scored_fold import Cells, CellTable, ScoredFold, TrainingSummary, take
from benchmarks.scoring.summaries import PredictionSummary, TruthSummary, summarise_predictions, summarise_truth

REFERENCES = ("oracle", "ceiling", "split_half", "expectation", "other_controls", "names_only")
LOWERED_Z = -5.0
"""z-score of a lowered gene in the reference `names_only`; in a space of counts or of their logarithms it is 0."""
HALVINGS = 5
"""Random halvings of the truth that the split half is averaged over."""
U_STATISTICS = ("e_distance", "mmd_rbf")
"""Metrics in which a set of cells does not reach the best value when compared with itself."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LIKE_GENES = 20
"""Genes of like mean expression in the input among which the noise exchanges values."""
Draw = Callable[[int, int, np.random.Generator], np.ndarray]
"""(condition, number of cells, generator) → dense cells of a mixture."""
Positions = Callable[[int], np.ndarray]
"""Number of a condition → positions of some cells."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TruthSide:
    """What every model of one fold and direction is compared with."""

    truth: TruthSummary
    references: Mapping[str, Values]
    """Reference → its scores; empty without calibration."""
    planted: pd.DataFrame
    """Scores of the planted predictors; empty without calibration."""


def truth_side_of(
    fold: ScoredFold,
    expectation: np.ndarray | None = None,
    *,
    calibrate: bool = True,
    folder: Path | None = None,
    depends_on: str = "",
) -> TruthSide:
    """Summarise the truth and, to calibrate, score references and planted predictors; or read what a folder keeps of that.

    `expectation` are noise-free mean profiles of simulated data [condition, gene]. `depends_on` is a hash of the cells, the
    training cells and the split. Raises `StoreError` if the file cannot be written.
    """
    if folder is None:
        return _make(fold, expectation, calibrate)
    parts = (depends_on, fold.direction, str(fold.seed), str(calibrate), str(fold.linear), code_hash())
    key = hashlib.sha256("/".join(parts).encode()).hexdigest()
    path = folder / f"{key}.npz"
    try:
        kept = checked_arrays.get(path, TruthSide, TruthSummary, Scores)
        if kept["key"] == key:
            return kept["side"]
        log.warning("%s is of other data or code; it is computed again.", path)
    except FileNotFoundError:
        pass
    except checked_arrays.Damaged as error:
        log.warning("%s It is computed again.", error)
    made = _make(fold, expectation, calibrate)
    checked_arrays.put(path, {"key": key, "side": made})
    return made


@cache
def code_hash() -> str:
    """Hash the code that scores, so that results of other code are never reused."""
    hasher = hashlib.sha256()
    here = Path(__file__).parent
    for source in (*sorted((here / "metrics").glob("*.py")), *sorted(here.glob("*.py"))):
        hasher.update(source.read_bytes())
    return hasher.hexdigest()


def _make(fold: ScoredFold, expectation: np.ndarray | None, calibrate: bool) -> TruthSide:
    truth = summarise_truth(fold)
    if not calibrate:
        return TruthSide(truth, {}, pd.DataFrame())
    return TruthSide(truth, dict(references(fold, truth, expectation)), planted(fold, truth))


def references(fold: ScoredFold, truth: TruthSummary, expectation: np.ndarray | None) -> Iterator[tuple[str, Values]]:
    """Score every reference that the data allow; `expectation` are a simulator's noise-free profiles [condition, gene]."""
    split_half = _score_split_half(fold, truth)
    yield "split_half", split_half
    # both predict the truth's own cells: δ̂ = δ for the oracle; the ceiling's change is measured from I and R together, which
    # are nearer to R than the state's true mean is, the most that a predictor can know of it
    same = _summarise_cells(fold, truth, truth.positions.__getitem__)
    of_same = {
        "ceiling": evaluate(fold, truth, same, start=fold.shared),
        "oracle": evaluate(fold, truth, same, as_truth=True),
    }
    for name, values in of_same.items():
        yield name, {**values, **{metric: split_half[metric] for metric in U_STATISTICS if metric in values}}
    training = fold.training
    if training is not None and fold.direction == "n2p":
        # cells of the state that a condition starts from, which no perturbation has changed
        cells = [training.start_like(condition) for condition in fold.conditions]
        has = np.array([len(own) > 0 for own in cells])
        others = _summarise_cells(fold, truth, cells.__getitem__, training.cells)
        named = summarise_predictions(fold, truth, lambda number: names_only(fold, training, number))
        yield "other_controls", _only_where(has, evaluate(fold, truth, others))
        yield "names_only", _only_where(has, evaluate(fold, truth, named))
    if expectation is not None:
        yield "expectation", evaluate(fold, truth, PredictionSummary.of_means(expectation))


def _only_where(has: np.ndarray, values: Values) -> Values:
    """Take the scores from conditions without a prediction; the input's profile stood in for it."""
    return {
        name: Scores(np.where(has, found.values, np.nan), np.where(has, found.status, "unsupported"))
        for name, found in values.items()
    }


def names_only(fold: ScoredFold, training: TrainingSummary, number: int) -> Prediction | None:
    """Predict what a condition's name says: cells of `other_controls` with the perturbed genes lowered; None without cells."""
    own = training.start_like(fold.conditions[number])
    if not len(own):
        return None
    cells = np.array(dense(take(training.cells, own)))
    cells[:, fold.perturbed_genes(number)] = 0.0 if fold.linear else LOWERED_Z
    return Prediction(cells, unit="cell")


def halves(fold: ScoredFold, repeat: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Positions of every condition's true cells in two disjoint random halves; the same for every caller."""
    sides: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for number, condition in enumerate(fold.conditions):
        positions = condition.truth(fold.direction)
        order = fold.generator(number, "halves", repeat).permutation(len(positions))
        cut = len(order) // 2
        for side, chosen in zip(sides, (order[:cut], order[cut:]), strict=True):
            side.append(np.sort(positions[chosen]))
    return sides


def _score_split_half(fold: ScoredFold, whole: TruthSummary) -> Values:
    """Score one half of the true cells as the prediction of the other, mean over random halvings.

    Both sides have disjoint controls: I for the half that predicts, R for the half that is the truth. The mean is over the
    halvings in which a condition has a value; it has its first status where none has.
    """
    scored = []
    for repeat in range(HALVINGS):
        predicted, true = halves(fold, repeat)
        truth = summarise_truth(fold, true, like=whole)
        scored.append(evaluate(fold, truth, _summarise_cells(fold, truth, predicted.__getitem__)))
    found = {}
    for name, first in scored[0].items():
        values = np.stack([repeat[name].values for repeat in scored])
        has = np.isfinite(values)
        mean, some = np.where(has, values, 0.0).sum(axis=0) / np.maximum(has.sum(axis=0), 1), has.any(axis=0)
        found[name] = Scores(np.where(some, mean, np.nan), np.where(some, "ok", first.status))
    return found


def _summarise_cells(
    fold: ScoredFold, truth: TruthSummary, positions: Positions, cells: CellTable | None = None
) -> PredictionSummary:
    """Summarise real cells (of the fold, or of another table) as the predictions; a condition without any has none."""
    table = fold.cells if cells is None else cells

    def load(number: int) -> Prediction | None:
        own = positions(number)
        return as_prediction(take(table, own)) if len(own) else None

    return summarise_predictions(fold, truth, load)


def expected_profiles(table: pd.DataFrame | None, fold: ScoredFold, arm: str) -> np.ndarray | None:
    """Look up the simulator's noise-free profiles [condition, gene]; None if there are none."""
    if table is None:
        return None
    keys = []
    for condition in fold.conditions:
        dose = condition.doses(fold.direction)[1]
        name = CONTROL if fold.direction == "p2n" and dose is None else condition.perturbation
        keys.append((condition.context, arm, name, dose or 0.0)[: table.index.nlevels])
    return table.loc[keys, list(fold.cells.var_names)].to_numpy(dtype=np.float64)


def as_prediction(cells: Cells) -> Prediction:
    """Turn real cells into a prediction."""
    return Prediction(dense(cells), unit="cell")


def dense(cells: Cells) -> np.ndarray:
    """Return cells [cell, gene] as a dense array."""
    return cells if isinstance(cells, np.ndarray) else cells.toarray()


def planted(fold: ScoredFold, whole: TruthSummary) -> pd.DataFrame:
    """Score the planted predictors as rows of planted.csv; `whole` is the summary of all test cells.

    Share 0 is the same for every mixture. A mixture without cells (no perturbed training cell in a context) is left out.
    """
    half, true = halves(fold, 0)
    truth = summarise_truth(fold, true, like=whole)

    def score(draw: Draw, share: float) -> pd.DataFrame:
        """Score a half of which a share is exchanged for cells of a mixture."""

        def load(number: int) -> Prediction:
            generator = fold.generator(number, "planted")
            cells = dense(take(fold.cells, half[number])).copy()
            exchanged = generator.permutation(len(cells))[: round(share * len(cells))]
            if len(exchanged):
                cells[exchanged] = draw(number, len(cells), generator)[: len(exchanged)]
            return Prediction(cells, unit="cell")

        values = evaluate(fold, truth, summarise_predictions(fold, truth, load))
        return score_rows(fold, truth, values, fold.endings()).drop(columns=["reason", "n_truth_cells"])

    mixtures = _mixtures(fold, half)
    pure = score(mixtures["noise"], 0.0)
    tables = [
        (score(draw, share) if share else pure).assign(mixture=mixture, share=share)
        for mixture, draw in mixtures.items()
        for share in SHARES
    ]
    return pd.concat(tables, ignore_index=True)


def _mixtures(fold: ScoredFold, half: Sequence[np.ndarray]) -> dict[str, Draw]:
    """Mixture → how its cells are drawn: `n` cells at random, with replacement only where there are fewer."""

    def noise(number: int, n: int, generator: np.random.Generator) -> np.ndarray:
        """Exchange whole genes within groups of like mean expression in the input."""
        cells, order = dense(take(fold.cells, half[number])), np.argsort(fold.start[number], kind="stable")
        source = order.copy()
        for first in range(0, len(order), LIKE_GENES):
            group = slice(first, first + LIKE_GENES)
            source[group] = generator.permutation(order[group])
        shuffled = np.empty_like(cells)
        shuffled[:, order] = cells[:, source]
        return shuffled

    def draw_from(table: CellTable, positions: Positions) -> Draw:
        def draw(number: int, n: int, generator: np.random.Generator) -> np.ndarray:
            own = positions(number)
            chosen = generator.choice(own, n, replace=len(own) < n)
            unique, back = np.unique(chosen, return_inverse=True)
            return dense(take(table, unique))[back]

        return draw

    found: dict[str, Draw] = {"noise": noise}
    training = fold.training
    if training is not None and all(len(training.perturbed_like(c)) for c in fold.conditions):
        found["mean_effect"] = draw_from(
            training.cells, lambda number: training.perturbed_like(fold.conditions[number])
        )
    found["input"] = draw_from(fold.cells, lambda number: fold.conditions[number].input(fold.direction))
    return found
