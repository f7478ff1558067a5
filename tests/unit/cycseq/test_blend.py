"""The network's share beside the additive estimate, and what is held out to choose it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cycseq import CycSeq, LossWeights, ModelConfig, Stage, blend, sampling, vocabulary
from cycseq.effects import Effects
from cycseq.model import Blend, Generators, Sizes
from cycseq.sampling import PairBatch

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


@pytest.fixture
def nets():
    config = ModelConfig(hidden=(8, 8), latent=2, embedding=2, n_blocks=1, n_tokens=2, skip=True, blend="additive")
    generators = Generators(Sizes(GENES, 1, 1), config).eval()
    for generator in (generators.n2p, generators.p2n):
        generator.start_at(torch.zeros(GENES))  # with skip: the input unchanged
    return generators


@pytest.mark.parametrize(("bias", "expected"), [((2.0, 0.0, 0.0), 0.5), ((-1.0, 0.0, 0.0), 0.0), ((0.5, 0, 0), 1.0)])
def test_alpha_by_hand(nets, bias, expected):
    """The estimate changes nothing, the truth is +1 in gene 0; the network says `bias`: α = 1 · bias / bias², cut."""
    with torch.no_grad():
        nets.n2p.decoder.to_expression.bias.copy_(torch.tensor(bias))
    rows = batch([[4.0, 4.0, 4.0]] * 2, [[5.0, 4.0, 4.0]] * 2)
    zero = Effects(np.zeros((1, GENES), np.float32), np.zeros((1, GENES), np.float32))
    blend.fit(nets.blend, nets, zero, Fixed(rows), Fixed(rows))
    assert nets.blend.shares[0].item() == pytest.approx(expected)
    assert nets.blend.shares[1].item() == 1  # p2n changes nothing, as the estimate: no difference to share


def test_noise_of_the_input_earns_nothing(nets):
    """A network that takes half of the input's noise away is of no use where inputs and references share no cell."""
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for layer in nets.n2p.parameters():
            layer.zero_()
    noise = rng.normal(size=(400, GENES)).astype(np.float32)
    nets.n2p.forward = lambda x, condition, noise=None: type("T", (), {"x_hat": x - 0.5 * (x - 9)})()  # type: ignore
    own, other = batch(9 + noise, np.full_like(noise, 9)), batch(np.full_like(noise, 9), np.full_like(noise, 9))
    zero = Effects(np.zeros((1, GENES), np.float32), np.zeros((1, GENES), np.float32))
    blend.fit(nets.blend, nets, zero, Fixed(own), Fixed(other))
    assert nets.blend.shares[0].item() == pytest.approx(0, abs=0.05)
    blend.fit(nets.blend, nets, zero, Fixed(own), Fixed(own))  # the shared noise is a change that it predicts
    assert nets.blend.shares[0].item() == 1


def test_a_blend_of_share_zero_is_the_estimate_and_keeps_above_zero():
    config = ModelConfig(skip=True, blend="additive")
    mix = Blend(Sizes(2, 2, 1), config)
    mix.batch.copy_(torch.tensor([[1.0, -1.0]]))
    mix.perturbation.copy_(torch.tensor([[0.0, 0.0], [0.5, 0.0]]))
    x, p, b = torch.tensor([[2.0, 0.4]]), torch.tensor([1]), torch.tensor([0])
    there, back = (mix.estimate(x, mix.change(p, b), direction) for direction in ("n2p", "p2n"))
    assert there.tolist() == [[3.5, 0.0]]
    assert back.tolist() == [[0.5, pytest.approx(1.4)]]
    mix.shares.copy_(torch.tensor([0.0, 0.25]))
    assert mix(torch.full((1, 2), 9.0), there, "n2p").tolist() == there.tolist()
    assert mix(torch.full((1, 2), 2.5), back, "p2n").tolist() == [[1.0, pytest.approx(1.675)]]


def test_held_out_conditions_leave_every_perturbation_trained_and_no_cell_twice(screen):
    known = vocabulary.from_adata(screen)
    cells = vocabulary.encode(screen, known)
    held = sampling.split_conditions(cells, known, 0.3, seed=0)
    obs = screen.obs.assign(held=held)
    perturbed = obs[obs["perturbation"] != "control"]
    shares = perturbed.groupby(["context", "perturbation"])["held"].mean()
    assert set(shares) == {0.0, 1.0}  # whole conditions, in all their batches
    assert (shares == 1).sum() == round(0.3 * 18)
    assert (shares.groupby("perturbation").min() == 0).all()
    controls = obs[obs["perturbation"] == "control"].groupby(["context", "batch"])["held"].mean()
    assert controls.between(0.2, 0.4).all()
    halves = blend.halve(cells, held, np.random.default_rng(0))
    assert not (halves[0] & halves[1]).any()
    assert (halves[0] | halves[1]).tolist() == held.tolist()


def test_without_a_condition_to_spare_nothing_is_held_out(screen):
    one = screen[(screen.obs["context"] == "lineA").to_numpy()]
    known = vocabulary.from_adata(one)
    assert sampling.split_conditions(vocabulary.encode(one, known), known, 0.3, seed=0) is None


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
            from cycseq.step import Stepper

            step = Stepper.step
            patch.setattr(Stepper, "step", lambda self, b, step=step, seen=seen: (seen.append(1), step(self, b))[1])
            model.pretrain(screen)
        counts[least] = len(seen)
    assert counts == {1: 1, 10: 10}


def test_the_share_is_not_chosen_again_in_fine_tuning(screen, make_config):
    config = make_config()
    config = replace(config, model=replace(config.model, blend="additive"))
    model = CycSeq(config)
    model.pretrain(screen)
    model.fine_tune(screen, context="lineA")
    assert torch.equal(model._fine_tuned["lineA"].blend.shares, model._networks()[0].blend.shares)
