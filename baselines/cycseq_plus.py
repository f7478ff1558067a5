"""CycSeq with the settings that train where the paper's collapse (preset "plus"); not the paper's recipe."""

from functools import partial

from baselines._cycseq_predictor import CycSeqPredictor, records

BASELINES = records(
    "cycseq_plus",
    partial(CycSeqPredictor, variant="plus"),
    "plus_quick",
    "CycSeq that predicts the change and uses the pseudo-pairs; not the paper's recipe",
)
