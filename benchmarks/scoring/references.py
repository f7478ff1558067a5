"""What is known of a fold before any model is scored: scores of predictions of known quality.

These are unranked references (the truth itself, half of it for the other half, other controls, the simulator's truth), and
planted predictors, which the metrics must put in order (rank recovery). They depend on the data, the split and the code of the
metrics alone, and cost more than scoring a model. So they are computed once, shared by all models, and kept on disk under a
hash of what they depend on. References are scored on all conditions, planted predictors on at most `PLANTED_CONDITIONS` of a
fold and direction; no set of cells that stands for a prediction has more than `REFERENCE_CELLS`.

A planted predictor gives one half of a condition's true cells, of which a share has been exchanged for cells of a mixture:
the larger the share, the worse it is. The other half is the truth.

"noise"        cells of the same half with values exchanged among genes of like expression in the input: the effects are
               as large as before, on the wrong genes
"mean_effect"  perturbed training cells of the same context (and dose), of any perturbation
"input"        input cells
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL
from benchmarks.data.cell_table import CellTable
from benchmarks.freed_memory import return_freed
from benchmarks.scoring.cell_sets import CellPool, CellSets, take
from benchmarks.scoring.evaluate import Scores, Values, score_rows
from benchmarks.scoring.metrics.rank_sum import Cells
from benchmarks.scoring.scored_fold import ScoredFold, Start
from benchmarks.scoring.scored_set import (
    Block,
    BlockedFold,
    Facts,
    Profiles,
    ScoredSet,
    block_size,
    scratch,
)
from benchmarks.scoring.summaries import (
    PredictionSummary,
    summarise_cells,
    summarise_parts,
    summarise_picked,
    summarise_truth,
    summarise_truth_as_prediction,
)
from benchmarks.scoring.training_summary import TrainingSummary
from benchmarks.seeds import derive

REFERENCES = ("oracle", "ceiling", "split_half", "expectation", "other_controls", "names_only")
REFERENCE_CELLS = 512
"""Most real cells that stand for a prediction; of more, so many are drawn."""
PLANTED_CONDITIONS = 200
"""Most conditions of a fold and direction that planted predictors are scored on; of more, so many are drawn."""
LOWERED_Z = -5.0
"""z-score of a lowered gene in the reference `names_only`; in a space of counts or of their logarithms it is 0."""
HALVINGS = 5
"""Most random halvings of the truth that the split half is averaged over."""
HALVED = 1_000
"""Halvings that are scored in a fold and direction, about: of 200 conditions or fewer `HALVINGS` each, of 1,000 one each, which
one is drawn. In p2n conditions share their true states, the controls, and with them the halvings."""
U_STATISTICS = ("e_distance", "mmd_rbf")
"""Metrics in which a set of cells does not reach the best value when compared with itself."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LIKE_GENES = 20
"""Genes of like mean expression in the input among which the noise exchanges values."""
Draw = Callable[[int, int, np.random.Generator], Cells]
"""(condition, number of cells, generator) → cells of a mixture."""
Positions = Callable[[int], np.ndarray]
"""Number of a condition → positions of some cells."""
Expectation = Callable[[ScoredFold], np.ndarray]
"""Conditions → a simulator's noise-free profiles of them [condition, gene]."""


@dataclass(frozen=True)
class Calibration:
    """Scores of predictions of known quality in one fold and direction."""

    references: Mapping[str, Values]
    """Reference → its scores."""
    planted: pd.DataFrame
    """Scores of the planted predictors."""


def calibrate(blocked: BlockedFold, expectation: Expectation | None = None) -> Calibration:
    """Score references and planted predictors, or read what is kept of them; raises `StoreError` if it cannot be kept."""
    return blocked.keep(
        "calibration",
        lambda: Calibration(dict(references(blocked, expectation)), planted(blocked)),
        Calibration,
        Scores,
    )


def references(blocked: BlockedFold, expectation: Expectation | None = None) -> Iterator[tuple[str, Values]]:
    """Score every reference that the data allow."""
    fold = blocked.fold
    split_half = _score_split_half(blocked)
    yield "split_half", split_half
    # both predict the truth's own cells: δ̂ = δ for the oracle; the ceiling's change is measured from I and R together, which
    # are nearer to R than the state's true mean is, the most that a predictor can know of it
    views: dict[str, tuple[Start, bool]] = {"ceiling": ("shared", False), "oracle": ("reference", True)}
    itself = KnownPrediction(
        lambda block: summarise_truth_as_prediction(block.fold, block.truth), views=list(views.values())
    )
    found = _score(blocked, itself)
    for name, values in zip(views, found, strict=True):
        yield name, {**values, **{metric: split_half[metric] for metric in U_STATISTICS if metric in values}}
    training = fold.training
    if training is not None and fold.direction == "n2p":
        # cells of the state that a condition starts from, which no perturbation has changed; and with the perturbed genes
        # lowered, which is what the condition's name says
        has = np.array([len(training.start_like(condition)) > 0 for condition in fold.conditions])
        same = training.cells is fold.cells
        elsewhere = partial(CellSets, training.cells, fold.own_gene, training, linear=fold.linear, references=fold.sets)
        sets = fold.sets if same else elsewhere()

        def others(block: Block) -> PredictionSummary:
            return summarise_cells(block.fold, block.truth, partial(_start_like, block.fold, training), sets)

        def named(block: Block) -> PredictionSummary:
            start = partial(_start_like, block.fold, training)
            return summarise_cells(block.fold, block.truth, start, sets, own_genes_at=0.0 if fold.linear else LOWERED_Z)

        for name, values in zip(
            ("other_controls", "names_only"),
            _score(blocked, KnownPrediction(others), KnownPrediction(named)),
            strict=True,
        ):
            yield name, _only_where(has, values)
    if expectation is not None:
        expected = KnownPrediction(lambda block: PredictionSummary.of_means(expectation(block.fold)))
        yield "expectation", _score(blocked, expected)[0]


@dataclass(frozen=True)
class KnownPrediction:
    """A prediction of known quality, and the truth that it is scored on."""

    predict: Callable[[Block], PredictionSummary]
    cut: Callable[[Block], Block] = lambda block: block
    """Exchanges a block's truth for half of it."""
    views: Sequence[tuple[Start, bool]] = (("start", False),)
    """How its change is measured, one set of scores each: `start` and `as_truth` of `evaluate`."""


def _score(blocked: BlockedFold, *predictions: KnownPrediction) -> list[Values]:
    """Score predictions block by block, so that several of the same cells have them at hand; one result a view."""
    with ExitStack() as stack:
        found = []
        for known in predictions:
            truth = Profiles.new(
                stack.enter_context(scratch(blocked.folder)), len(blocked.fold), len(blocked.fold.cells.var_names)
            )
            scored = [ScoredSet(blocked.fold, stack.enter_context(scratch(blocked.folder))) for _ in known.views]
            found.append((known, truth, scored))
        for whole in blocked.blocks():
            for known, truth, scored in found:
                block = known.cut(whole)
                predicted = known.predict(block)
                truth.append(block.truth.profiles)
                for one, (start, as_truth) in zip(scored, known.views, strict=True):
                    one.add(block, predicted, start=start, as_truth=as_truth)
        return [
            one.all(truth, start)
            for known, truth, scored in found
            for one, (start, _) in zip(scored, known.views, strict=True)
        ]


def _only_where(has: np.ndarray, values: Values) -> Values:
    """Take the scores from conditions without a prediction; the input's profile stood in for it."""
    return {
        name: Scores(np.where(has, found.values, np.nan), np.where(has, found.status, "unsupported"))
        for name, found in values.items()
    }


def few(fold: ScoredFold, positions: np.ndarray) -> np.ndarray:
    """Draw `REFERENCE_CELLS` of more cells, the same ones whoever asks; positions ascend."""
    if len(positions) <= REFERENCE_CELLS:
        return positions
    generator = np.random.default_rng(derive(fold.seed, "cells of a reference", positions.tobytes().hex()))
    return np.sort(generator.choice(positions, REFERENCE_CELLS, replace=False))


def _start_like(fold: ScoredFold, training: TrainingSummary, number: int) -> np.ndarray:
    return few(fold, training.start_like(fold.conditions[number]))


def halves(fold: ScoredFold, which: Sequence[int] | None = None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Positions of every condition's true cells in two disjoint random halves; the same for every caller.

    `which` of its halvings is one number a condition; default: the first.
    """
    sides: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for number, positions in enumerate(fold.true_positions()):
        own = 0 if which is None else which[number]
        order = fold.truth_generator(number, "halves", own).permutation(len(positions))
        cut = len(order) // 2
        for side, chosen in zip(sides, (order[:cut], order[cut:]), strict=True):
            side.append(np.sort(positions[chosen]))
    return sides


def _score_split_half(blocked: BlockedFold) -> Values:
    """Score one half of the true cells as the prediction of the other, mean over random halvings.

    Both sides have disjoint controls: I for the half that predicts, R for the half that is the truth. The mean is over the
    halvings in which a condition has a value; it has its first status where none has.
    """

    def halved(fold: ScoredFold, repeat: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        first = [fold.generator(number, "first halving").integers(HALVINGS) for number in range(len(fold))]
        return halves(fold, [int(own + repeat) % HALVINGS for own in first])

    def halving(repeat: int) -> KnownPrediction:
        def predict(block: Block) -> PredictionSummary:
            predicted = halved(block.fold, repeat)[0]
            return summarise_parts(block.fold, block.truth, lambda n: few(block.fold, predicted[n]))

        def cut(block: Block) -> Block:
            true = halved(block.fold, repeat)[1]
            return replace(block, truth=summarise_truth(block.fold, true, like=block.truth))

        return KnownPrediction(predict, cut)

    repeats = range(int(np.clip(HALVED // len(blocked.fold), 1, HALVINGS)))
    scored = _score(blocked, *map(halving, repeats))
    found = {}
    for name, first in scored[0].items():
        values = np.stack([repeat[name].values for repeat in scored])
        has = np.isfinite(values)
        mean, some = np.where(has, values, 0.0).sum(axis=0) / np.maximum(has.sum(axis=0), 1), has.any(axis=0)
        found[name] = Scores(np.where(some, mean, np.nan), np.where(some, "ok", first.status))
    return found


def expected_profiles(table: pd.DataFrame, fold: ScoredFold, arm: str) -> np.ndarray:
    """Look up the simulator's noise-free profiles [condition, gene]."""
    keys = []
    for condition in fold.conditions:
        dose = condition.doses(fold.direction)[1]
        name = CONTROL if fold.direction == "p2n" and dose is None else condition.perturbation
        keys.append((condition.context, arm, name, dose or 0.0)[: table.index.nlevels])
    return table.loc[keys, list(fold.cells.var_names)].to_numpy(dtype=np.float64)


def planted(blocked: BlockedFold) -> pd.DataFrame:
    """Score the planted predictors as rows of planted.csv.

    Share 0 is the same for every mixture. A mixture without cells (no perturbed training cell in a context) is left out.
    """
    numbers, facts = planted_conditions(blocked.fold), blocked.facts()
    fold, training = blocked.fold.part(numbers), blocked.fold.training
    mixtures = ["noise", "mean_effect", "input"]
    if training is None or not all(len(training.perturbed_like(c)) for c in fold.conditions):
        mixtures.remove("mean_effect")
    predictors = [(mixture, share) for mixture in mixtures for share in SHARES if share or mixture == "noise"]
    size = blocked.size or block_size(fold)
    with ExitStack() as stack:
        truth = Profiles.new(stack.enter_context(scratch(blocked.folder)), len(fold), len(fold.cells.var_names))
        scored = {name: ScoredSet(fold, stack.enter_context(scratch(blocked.folder))) for name in predictors}
        for first in range(0, len(fold), size):
            part = fold.part(range(first, min(first + size, len(fold))))
            own = Facts(*(fact[numbers[first : first + size]] for fact in facts))
            half, true = halves(part)
            block = Block(range(first, first + len(part)), part, summarise_truth(part, true, like=own))
            truth.append(block.truth.profiles)
            half = [few(part, positions) for positions in half]
            for mixture in mixtures:
                shares = [share for other, share in predictors if other == mixture]
                pick = partial(_mixed, part, half, _draw(mixture, part, half), shares)
                predicted = summarise_picked(part, block.truth, pick, len(shares))
                adds = [
                    partial(scored[mixture, share].add, block, summary)
                    for share, summary in zip(shares, predicted, strict=True)
                ]
                part.each(partial(_call, adds), len(adds))
            return_freed()
        values = {name: one.all(truth) for name, one in scored.items()}
    tables = [
        score_rows(fold, values[mixture if share else "noise", share], fold.endings())
        .drop(columns=["reason", "n_truth_cells"])
        .assign(mixture=mixture, share=share)
        for mixture in mixtures
        for share in SHARES
    ]
    return pd.concat(tables, ignore_index=True)


def _call(functions: Sequence[Callable[[], None]], number: int) -> None:
    functions[number]()


def planted_conditions(fold: ScoredFold) -> np.ndarray:
    """Numbers of the conditions that planted predictors are scored on, ascending."""
    if len(fold) <= PLANTED_CONDITIONS:
        return np.arange(len(fold))
    generator = np.random.default_rng(derive(fold.seed, "planted conditions", fold.direction))
    return np.sort(generator.choice(len(fold), PLANTED_CONDITIONS, replace=False))


def _mixed(
    fold: ScoredFold, half: Sequence[np.ndarray], draw: Draw, shares: Sequence[float], number: int
) -> tuple[CellPool, list[np.ndarray]]:
    """Pool half of a condition's true cells, and as many cells of a mixture; and exchange each share of the first for the latter.

    Returns the pool and the rows of each share.
    """
    generator = fold.generator(number, "planted")
    cells = take(fold.cells, half[number])
    order = generator.permutation(cells.shape[0])
    others = draw(number, len(order), generator)
    if sp.issparse(cells) or sp.issparse(others):
        both = sp.vstack([sp.csr_matrix(cells), sp.csr_matrix(others)], format="csr")
        both.sort_indices()  # as a prediction's are: sums over genes depend on their order
    else:
        both = np.concatenate([cells, others])
    sets = []
    for share in shares:
        rows, exchanged = np.arange(len(order)), order[: round(share * len(order))]
        rows[exchanged] = len(order) + np.arange(len(exchanged))
        sets.append(rows)
    return fold.sets.pool(both, fold.conditions[number].reference(fold.direction)), sets


def _draw(mixture: str, fold: ScoredFold, half: Sequence[np.ndarray]) -> Draw:
    """How the cells of a mixture are drawn: `n` cells at random, with replacement only where there are fewer."""

    def noise(number: int, n: int, generator: np.random.Generator) -> Cells:
        """Exchange whole genes within groups of like mean expression in the input."""
        cells, order = take(fold.cells, half[number]), np.argsort(fold.start[number], kind="stable")
        source, column = order.copy(), np.empty_like(order)
        for first in range(0, len(order), LIKE_GENES):
            group = slice(first, first + LIKE_GENES)
            source[group] = generator.permutation(order[group])
        column[order] = source
        return cells[:, column]

    def draw_from(table: CellTable, positions: Positions) -> Draw:
        def draw(number: int, n: int, generator: np.random.Generator) -> Cells:
            own = positions(number)
            chosen = generator.choice(own, n, replace=len(own) < n)
            unique, back = np.unique(chosen, return_inverse=True)
            return take(table, unique)[back]

        return draw

    training = fold.training
    if mixture == "mean_effect" and training is not None:
        return draw_from(training.cells, lambda number: training.perturbed_like(fold.conditions[number]))
    if mixture == "input":
        return draw_from(fold.cells, lambda number: fold.conditions[number].input(fold.direction))
    return noise
