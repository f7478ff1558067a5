"""CycSeq as the paper has it, after pre-training: what fine-tuning starts from.

The same seed as `cycseq`, so that the two share their pre-training and their difference is what fine-tuning does.
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
