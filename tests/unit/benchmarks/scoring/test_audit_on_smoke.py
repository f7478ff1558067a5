"""The input-copy audit on the small simulated screen: copies of detected effects are flagged, the noise-free truth is not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.contract import Prediction
from benchmarks.execution.plan import make_plan
from benchmarks.scoring.evaluate import evaluate
from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.references import expected_profiles
from benchmarks.scoring.scored_fold import scored_fold_of
from benchmarks.scoring.summaries import PredictionSummary, summarise_predictions, summarise_truth
from benchmarks.scoring.training_summary import summarise_training
from benchmarks.seeds import derive
from benchmarks.tasks.question import Question

AUDIT = [metric for metric in METRICS if metric.name == "copies_input"]


@pytest.fixture(scope="module")
def flags() -> dict[str, np.ndarray]:
    """Flags of all folds and directions [condition], and whether an effect is detected."""
    plan = make_plan(Question("smoke", models=("no_change",), folds=3))
    arm, found = str(plan.cells.obs["arm"].iloc[0]), {"no_change": [], "expectation": [], "detected": []}
    for split in plan.splits:
        seed = derive(0, "score", split.fold)
        training = summarise_training(plan.cells, split.train, seed, split.conditions)
        for direction in ("n2p", "p2n"):
            fold = scored_fold_of(plan.cells, split, direction, training, space=plan.space, seed=seed)
            truth = summarise_truth(fold)

            def copied(number, fold=fold):
                return Prediction(fold.input_cells(number).toarray(), unit="cell")

            expected = expected_profiles(plan.dataset.expectation, fold, arm)
            predictions = {
                "no_change": summarise_predictions(fold, truth, copied),
                "expectation": PredictionSummary.of_means(expected),
            }
            for name, predicted in predictions.items():
                found[name].append(evaluate(fold, truth, predicted, metrics=AUDIT)["copies_input"].values)
            found["detected"].append(truth.significant.any(axis=1))
    return {name: np.concatenate(values) for name, values in found.items()}


def test_noise_free_truth_is_not_flagged(flags):
    assert flags["expectation"].mean() <= 0.05


def test_copies_of_detected_effects_are_flagged(flags):
    assert flags["detected"].sum() >= 15
    assert flags["no_change"][flags["detected"]].mean() >= 0.9
