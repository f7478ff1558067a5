"""The network's share beside the additive estimate, and what is held out to choose it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cycseq import CycSeq, LossWeights, ModelConfig, Stage
from cycseq.data import sampling, vocabulary
from cycseq.data.loader import PairBatch
from cycseq.model import Blend, Effects, Generators, Sizes
from cycseq.training import folds

GENES = 3


class Fixed:
    """A loader of one batch."""

    def __init__(self, batch):
        self.batch = batch

    def epoch(self, batch_size, rng=None):
        yield self.batch


def batch(control, perturbed):
    n = len(control)
    return PairBatch(
        torch.tensor(control), torch.tensor(perturbed), torch.zeros(n).long(), torch.zeros(n).long(), torch.zeros(n, 0)
    )


def decide(nets, effects, inputs, references):
    nets.blend.take(effects)
    folds.decide(nets.blend, [folds.compare(nets, nets.blend, Fixed(inputs), Fixed(references))], effects)


@pytest.fixture
def nets():
    config = ModelConfig(hidden=(8, 8), latent=2, embedding=2, n_blocks=1, n_tokens=2, skip=True, blend="additive")
    generators = Generators(Sizes(GENES, 1, 1), config).eval()
    for generator in (generators.n2p, generators.p2n):
        generator.start_at(torch.zeros(GENES))  # with skip: the input unchanged
    return generators


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ((3.0, 1.0), 0.25),  # 3 · estimate + 1 · network
        ((1.0, -1.0), 0.0),  # the network points the wrong way
        ((-1.0, 2.0), 1.0),  # the estimate does
        ((-1.0, -1.0), 0.0),  # both do: the estimate
        ((0.0, 0.0), 0.0),
    ],
)
def test_share_by_hand(truth, expected):
    """Estimate and network each change a gene of their own by 1."""
    found = folds.share(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(truth))
    assert found == pytest.approx(expected)


def test_a_network_that_changes_nothing_or_says_the_same_has_no_share():
    estimate = torch.tensor([1.0, 2.0])
    assert folds.share(estimate, torch.zeros(2), torch.tensor([-1.0, 3.0])) == 0
    assert folds.share(estimate, 2 * estimate, torch.tensor([0.1, 0.2])) == 0
    assert folds.share(torch.zeros(2), estimate, torch.tensor([0.1, 0.2])) == 1


def test_each_direction_has_its_own_share(nets):
    """The truth is +1 in gene 0. n2p adds 2 there, p2n adds 2 where it should take 1 away; the estimate is right."""
    with torch.no_grad():
        for generator in (nets.n2p, nets.p2n):
            generator.decoder.to_expression.bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    rows = batch([[4.0, 4.0, 4.0]] * 2, [[5.0, 4.0, 4.0]] * 2)
    right = Effects(np.array([[[0.0, 0.0, 0.0]]], np.float32), np.array([[[0.0, 0.1, 0.0]]], np.float32))
    decide(nets, right, rows, rows)
    # n2p: a · (0, 0.1, 0) + c · (2, 0, 0) = (1, 0, 0) at a = 0, c = 0.5; p2n: c < 0
    assert nets.blend.shares.tolist() == [1.0, 0.0]


def test_noise_of_the_input_earns_nothing(nets):
    """A network that takes half of the input's noise away is of no use where inputs and references share no cell."""
    noise = np.random.default_rng(0).normal(size=(1, GENES)).astype(np.float32) * 3
    nets.n2p.forward = lambda x, condition, noise=None: SimpleNamespace(x_hat=x - 0.5 * (x - 9))
    flat, up = np.full((1, GENES), 9.0, np.float32), np.full((1, GENES), 10.0, np.float32)
    right = Effects(np.ones((1, 1, GENES), np.float32), np.zeros((1, 1, GENES), np.float32))
    own, other = batch(flat + noise, up), batch(flat, up)
    decide(nets, right, own, other)
    assert nets.blend.shares[0].item() == pytest.approx(0, abs=1e-6)  # 1 · estimate says all
    # the noise is now a change: 1 · estimate + 2 · network
    decide(nets, right, own, own)
    assert nets.blend.shares[0].item() == pytest.approx(2 / 3)


def test_a_blend_of_share_zero_is_the_estimate_and_keeps_above_zero():
    config = ModelConfig(skip=True, blend="additive")
    mix = Blend(Sizes(2, 2, 1), config)
    mix.batch.copy_(torch.tensor([[[1.0, -1.0]]]))
    mix.perturbation.copy_(torch.tensor([[[0.0, 0.0]], [[0.5, 0.0]]]))
    x, p, b = torch.tensor([[2.0, 0.4]]), torch.tensor([1]), torch.tensor([0])
    there, back = (mix.estimate(x, mix.change(p, b, torch.zeros(1, 0)), direction) for direction in ("n2p", "p2n"))
    assert there.tolist() == [[3.5, 0.0]]
    assert back.tolist() == [[0.5, pytest.approx(1.4)]]
    mix.shares.copy_(torch.tensor([0.0, 0.25]))
    assert mix(torch.full((1, 2), 9.0), there, "n2p").tolist() == there.tolist()
    assert mix(torch.full((1, 2), 2.5), back, "p2n").tolist() == [[1.0, pytest.approx(1.675)]]


def test_an_estimate_is_a_line_in_the_dose():
    mix = Blend(Sizes(1, 1, 1, n_doses=1), ModelConfig(skip=True, blend="additive"))
    mix.take(Effects(np.array([[[2.0], [0.5]]], np.float32), np.array([[[1.0], [0.25]]], np.float32), centre=3.0))
    first, zero = torch.tensor([0, 0, 0]), torch.tensor([0, 0, 0])
    change = mix.change(first, zero, torch.tensor([[4.0], [3.0], [1.0]]))  # 10 µM, 1 µM, 10 nM
    assert change.tolist() == [[3.75], [3.0], [1.5]]


def test_held_out_conditions_leave_every_perturbation_trained_and_no_cell_twice(screen):
    known = vocabulary.from_adata(screen)
    cells = vocabulary.encode(screen, known)
    held = sampling.split_conditions(cells, known, 0.3, seed=0)[0]
    obs = screen.obs.assign(held=held)
    perturbed = obs[obs["perturbation"] != "control"]
    shares = perturbed.groupby(["context", "perturbation"])["held"].mean()
    assert set(shares) == {0.0, 1.0}  # whole conditions, in all their batches
    assert (shares == 1).sum() == round(0.3 * 18)
    assert (shares.groupby("perturbation").min() == 0).all()
    controls = obs[obs["perturbation"] == "control"].groupby(["context", "batch"])["held"].mean()
    assert controls.between(0.2, 0.4).all()
    halves = folds.halve(cells, held, np.random.default_rng(0))
    assert not (halves[0] & halves[1]).any()
    assert (halves[0] | halves[1]).tolist() == held.tolist()


def test_without_a_condition_to_spare_nothing_is_held_out(screen):
    one = screen[(screen.obs["context"] == "lineA").to_numpy()]
    known = vocabulary.from_adata(one)
    assert sampling.split_conditions(vocabulary.encode(one, known), known, 0.3, seed=0) == []


def test_a_blended_model_predicts_an_unmeasured_condition_and_survives_saving(screen, make_config, tmp_path):
    held = ((screen.obs["context"] == "lineB") & (screen.obs["perturbation"] == "G1")).to_numpy()
    config = make_config(
        model=ModelConfig(hidden=(32, 16), latent=4, embedding=4, n_tokens=4, skip=True, blend="additive"),
        weights=LossWeights(adversarial=0, cycle=0, perturbation=0, batch=0, kl=0.01, paired=10),
        validation="conditions",
        pretrain=Stage("pretrain", epochs=2, batch_size=32, learning_rate=1e-3, optimizer="adam", patience=2),
    )
    model = CycSeq(config)
    model.pretrain(screen[~held])
    lines = screen.obs["context"] == "lineB"
    control = screen[(lines & (screen.obs["perturbation"] == "control")).to_numpy()]
    query = {"perturbation": "G1", "context": "lineB"}
    made = model.predict(control, **query)
    change = np.average(made.X, axis=0, weights=made.obs["n_cells"]) - np.asarray(control.X.mean(axis=0)).ravel()
    true = np.asarray(screen[held].X.mean(axis=0) - control.X.mean(axis=0)).ravel()
    assert np.corrcoef(change, true)[0, 1] > 0.8
    model.save(tmp_path / "model.pt")
    again = CycSeq.load(tmp_path / "model.pt")
    assert np.array_equal(again.predict(control, **query).X, made.X)


def test_least_steps_go_over_the_pairs_again(make_config, screen):
    counts = {}
    for least in (1, 10):
        stage = Stage("pretrain", 1, 1000, 1e-3, "adam", 1, least_steps=least)
        model = CycSeq(make_config(pretrain=stage))
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            from cycseq.training.step import Stepper

            step = Stepper.step
            patch.setattr(Stepper, "step", lambda self, b, step=step, seen=seen: (seen.append(1), step(self, b))[1])
            model.pretrain(screen)
        counts[least] = len(seen)
    assert counts == {1: 1, 10: 10}


def test_the_share_is_not_chosen_again_in_fine_tuning(screen, config):
    config = replace(config, model=replace(config.model, blend="additive"))
    model = CycSeq(config)
    model.pretrain(screen)
    model.fine_tune(screen, context="lineA")
    assert torch.equal(model.trained.fine_tuned["lineA"].blend.shares, model.trained.generators.blend.shares)


def test_a_stage_of_no_epochs_leaves_the_weights_as_they_start(screen, make_config):
    stage = Stage("pretrain", 0, 32, 1e-3, "adam", 1)
    model = CycSeq(make_config(pretrain=stage))
    history = model.pretrain(screen)
    assert (len(history.epochs), history.best_epoch) == (1, 0)
    assert model.trained.generators.n2p.decoder.to_expression.weight.abs().max() == 0  # skip starts as the identity
