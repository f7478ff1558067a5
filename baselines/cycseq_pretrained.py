"""CycSeq with the paper's recipe, pre-trained only.

It has the seed of `cycseq`, so that the two share their pre-training and differ by fine-tuning alone.
"""

from dataclasses import replace

from baselines.shared.cycseq_predictor import QUICK, CycSeqPredictor, records

PRETRAINING = {name: value for name, value in QUICK.items() if name != "finetune_epochs"}
BASELINES = tuple(
    replace(record, settings={"finetune_epochs": 0}, training="cycseq")
    for record in records(
        "cycseq_pretrained",
        CycSeqPredictor,
        "CycSeq, the paper's recipe, pre-trained and not fine-tuned",
        quick=PRETRAINING | {"variant": "paper_quick"},
        full_training={"pretrain_epochs": 100},
    )
)
