"""CycSeq as the paper has it."""

from baselines._cycseq_predictor import CycSeqPredictor, records

BASELINES = records(
    "cycseq",
    CycSeqPredictor,
    "paper_quick",
    "Cycle-consistent adversarial translation with variational latents, the paper's recipe",
)
