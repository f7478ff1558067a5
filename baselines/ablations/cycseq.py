"""The paper's recipe with one part left out, at the reduced size; one training serves both directions.

Not listed among the models: name this file with `--plugin`. What each ablation changes is a preset of the package,
"paper_quick_…"; two change the stages instead:

- no_finetuning predicts with the pre-trained weights.
- no_pretraining trains the fine-tuning stage from new weights, each context on its own cells alone. It keeps the
  optimiser, learning rate, batch size and number of epochs of pre-training (an epoch is at least 4 steps here, not 10, of
  each context; of all contexts together it is more): with those of fine-tuning, which go on from
  trained weights, hardly anything would be learned, and the ablation would show the learning rate. A context that has
  no perturbed training cells has no model then.
"""

from dataclasses import replace
from functools import partial

from baselines.cycseq import CAN, QUICK, CycSeqPredictor, records
from benchmarks.contract import Baseline, Prediction, Query
from benchmarks.errors import Unsupported

SUMMARIES = {
    "no_cycle": "without the cycle: no reconstruction and no label loss",
    "no_adversarial": "without critics",
    "no_kl": "without the KL terms",
    "no_attention": "without self-attention",
    "no_pretraining": "each context trained alone, from new weights",
    "no_finetuning": "without the fine-tuning stage",
    "one_latent": "with one latent in place of three",
    "random_start": "with torch's own start of the output layer in place of the mean profile",
}
LENGTHS = {
    "no_pretraining": {"pretrain_epochs": 0, "finetune_epochs": QUICK["pretrain_epochs"]},
    "no_finetuning": {"finetune_epochs": 0},
}
"""Ablations that change the stages' lengths."""


class OwnContextOnly(CycSeqPredictor):
    """CycSeq without pre-training: knows the contexts it was trained on one by one, and no other."""

    def predict(self, query: Query) -> Prediction:
        if query.context not in self.model.fine_tuned:
            raise Unsupported(f"without pre-training there is no model of {query.context}: it has no perturbed cells")
        return super().predict(query)


def _ablation(name: str, summary: str) -> tuple[Baseline, ...]:
    alone = name == "no_pretraining"
    return records(
        f"cycseq_{name}",
        f"The paper's recipe {summary}",
        build=partial(OwnContextOnly if alone else CycSeqPredictor, variant=f"paper_quick_{name}"),
        quick=QUICK | LENGTHS.get(name, {}),
        can=replace(CAN, unseen_context="no") if alone else CAN,
    )


BASELINES = tuple(record for name, summary in SUMMARIES.items() for record in _ablation(name, summary))
