"""Scoring: predictions against the truth, as tidy rows. Needs no training, reads one condition at a time.

`question_of` lays out what all predictions of a fold and direction share, `target_of` summarises the true cells,
`output_of` a model's predictions, and `evaluate` computes every metric of `benchmarks.metrics` from the three.
"""

from benchmarks.scoring.comparison import Output, Target, output_of, target_of
from benchmarks.scoring.evaluate import evaluate, score_rows
from benchmarks.scoring.planted import planted
from benchmarks.scoring.question import Question, question_of
from benchmarks.scoring.references import REFERENCES, expected_profiles, references
from benchmarks.scoring.training import Training, training_of
from benchmarks.scoring.yardstick import Yardstick, yardstick_of

__all__ = [
    "REFERENCES",
    "Output",
    "Question",
    "Target",
    "Training",
    "Yardstick",
    "evaluate",
    "expected_profiles",
    "output_of",
    "planted",
    "question_of",
    "references",
    "score_rows",
    "target_of",
    "training_of",
    "yardstick_of",
]
