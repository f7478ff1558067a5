from dataclasses import replace

import pytest

from cycseq import PRESETS, ConfigError, LossWeights, ModelConfig, Stage, TrainConfig, UnknownPreset, preset
from cycseq.config import from_json, to_json


def test_paper_preset_has_the_papers_numbers():
    paper = preset("paper")
    assert paper == TrainConfig()
    assert (paper.cells_per_draw, paper.draws_per_condition, paper.decay) == (50, 50, 0.9)
    assert paper.pretrain == Stage("pretrain", 100, 512, 2e-4, "adam", 30, (0.5, 0.9))
    assert paper.finetune == Stage("finetune", 30, 64, 1e-5, "rmsprop", 10)
    assert paper.weights == LossWeights(1, 1, 1, 1, 1, paired=0, gradient_penalty=0)
    assert paper.model.hidden == (1024, 512, 256)
    assert not paper.model.skip


def test_published_code_preset():
    code = preset("published_code")
    assert code.weights == LossWeights(1, 10, 0.1, 0.1, 0.01, paired=0, gradient_penalty=10)
    assert code.adversarial == "lsgan"


def test_paper_quick_is_the_papers_recipe_narrower_and_shorter():
    quick, paper = preset("paper_quick"), preset("paper")
    assert quick.weights == paper.weights
    assert quick.adversarial == paper.adversarial
    for stage, full in ((quick.pretrain, paper.pretrain), (quick.finetune, paper.finetune)):
        size = {name: getattr(stage, name) for name in ("epochs", "patience", "batch_size", "least_steps")}
        assert stage == replace(full, **size)
    assert quick.model == replace(paper.model, hidden=quick.model.hidden, latent=quick.model.latent)


def test_both_recipes_are_compared_at_one_size():
    paper, plus = preset("paper_quick"), preset("plus_quick")
    assert (paper.model.hidden, paper.model.latent) == (plus.model.hidden, plus.model.latent)
    assert paper.draws_per_condition == plus.draws_per_condition
    assert paper.pretrain.epochs == plus.pretrain.epochs
    assert paper.pretrain.batch_size == plus.pretrain.batch_size


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    assert from_json(to_json(preset(name))) == preset(name)


def test_unknown_preset_suggests_a_name():
    with pytest.raises(UnknownPreset, match="Did you mean 'plus_quick'"):
        preset("plus_quik")


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: ModelConfig(hidden=()), "hidden"),
        (lambda: ModelConfig(n_tokens=7), "n_tokens.*256"),
        (lambda: ModelConfig(dropout=1.0), "dropout"),
        (lambda: ModelConfig(attention="self"), "attention"),
        (lambda: ModelConfig(latents="two"), "latents.*'three' or 'one'"),
        (lambda: TrainConfig(precision="float16"), "precision.*'bfloat16'"),
        (lambda: LossWeights(kl=-1.0), "LossWeights.kl"),
        (lambda: LossWeights(kl=float("nan")), "LossWeights.kl"),
        (lambda: replace(preset("paper").pretrain, epochs=-1), "epochs"),
        (lambda: TrainConfig(unit="well"), "unit.*'draw' or 'cell'"),
        (lambda: TrainConfig(validation_share=0.0), "validation_share"),
    ],
)
def test_settings_out_of_range_are_refused(build, named):
    with pytest.raises(ConfigError, match=named):
        build()
