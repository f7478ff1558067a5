"""CycSeq with the preset "plus", which trains where the paper's recipe collapses."""

from functools import partial

from baselines.shared.cycseq_predictor import QUICK, CycSeqPredictor, records

BASELINES = records(
    "cycseq_plus",
    partial(CycSeqPredictor, variant="plus"),
    "CycSeq that predicts the change, uses the pseudo-pairs, and is blended with an additive estimate; not the paper's",
    quick=QUICK | {"variant": "plus_quick", "finetune_epochs": 0},
    full_training={"pretrain_epochs": 40},
)
