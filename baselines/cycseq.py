"""CycSeq with the paper's recipe."""

from baselines.shared.cycseq_predictor import QUICK, CycSeqPredictor, records

BASELINES = records(
    "cycseq",
    CycSeqPredictor,
    "Cycle-consistent adversarial translation with variational latents, the paper's recipe",
    quick=QUICK | {"variant": "paper_quick"},
)
