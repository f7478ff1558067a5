"""The lengths that mark a run as quick are those of the presets it uses."""

import pytest

from baselines.cycseq import QUICK
from benchmarks import registry
from benchmarks.analyses import cycseq_study
from cycseq import preset


@pytest.mark.parametrize("name", ["cycseq_n2p", "cycseq_plus_n2p", "cycseq_no_finetuning_p2n"])
def test_quick_settings_match_presets(name):
    quick = registry.find(name, (cycseq_study.ABLATIONS,)).quick
    config = preset(str(quick.get("variant", "paper_quick")))
    assert quick["pretrain_epochs"] == config.pretrain.epochs == QUICK["pretrain_epochs"]
    assert quick["draws"] == config.draws_per_condition
    if "no_finetuning" not in name:
        assert quick["finetune_epochs"] == config.finetune.epochs


def test_no_pretraining_uses_pretraining_settings():
    config, whole = preset("paper_quick_no_pretraining"), preset("paper_quick")
    quick = registry.find("cycseq_no_pretraining_n2p", (cycseq_study.ABLATIONS,)).quick
    assert (quick["pretrain_epochs"], quick["finetune_epochs"]) == (0, whole.pretrain.epochs)
    assert config.finetune.optimizer == whole.pretrain.optimizer
    assert config.finetune.learning_rate == whole.pretrain.learning_rate
