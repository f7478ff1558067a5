from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

from cycseq import LossWeights, Stage, TrainConfig, TrainingError, devices
from cycseq.data import loader, sampling, vocabulary
from cycseq.data.cell_reader import AnnDataReader, Values
from cycseq.model import Critics, Generators, Sizes
from cycseq.training import loop as training
from cycseq.training import step, validation
from cycseq.training.history import Epoch, History
from cycseq.training.validation import Errors, References, Report, evaluate, references


@pytest.fixture
def make_task(screen, make_config):
    def make(**changes):
        config: TrainConfig = make_config(**changes)
        names = vocabulary.from_adata(screen)
        cells = vocabulary.encode(screen, names)
        held = sampling.split_cells(cells, names, 0.25, seed=0)
        loaders = [
            loader.PairLoader(sampling.make_pairs(cells, names, keep, config, np.random.default_rng(0)), "cpu")
            for keep in (~held, held)
        ]
        sizes = Sizes(len(names.genes), len(names.perturbations), len(names.batches))
        with training.seeded(0, "cpu"):
            nets = Generators(sizes, config.model), Critics(sizes, config.model)
        control, perturbed = loaders[0].statistics[:2]
        nets[0].n2p.start_at(perturbed)
        nets[0].p2n.start_at(control)
        return (*nets, *loaders, training.Run(config, config.pretrain, 0, lambda done, total, text: None))

    return make


def test_training_beats_the_untrained_net_and_both_references(trained):
    history = trained.history[0]
    best, untrained = history.best, history.epochs[0].validation
    assert untrained.errors.n2p == pytest.approx(history.references.copy.n2p)  # skip starts as the identity
    assert best.errors.n2p < 0.7 * history.references.mean_effect.n2p
    assert best.errors.p2n < 0.7 * history.references.mean_effect.p2n
    assert best.spread > 0.2 > untrained.spread == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "weights", [LossWeights(), LossWeights(gradient_penalty=10.0, cycle=10.0), LossWeights(adversarial=0.0, paired=1.0)]
)
@pytest.mark.parametrize("adversarial", ["bce", "lsgan"])
def test_every_objective_runs_and_moves_its_networks(make_task, weights, adversarial):
    task = make_task(weights=weights, adversarial=adversarial, pretrain=Stage("pretrain", 1, 128, 1e-3, "adam", 1))
    generator, critic = (next(net.parameters()).detach().clone() for net in task[:2])
    history = training.train_stage(*task)
    terms = history.epochs[1].losses
    assert {"cycle", "kl", "perturbation", "batch"} <= set(terms)
    assert ("critic" in terms) == ("adversarial" in terms) == (weights.adversarial > 0)
    assert ("gradient_penalty" in terms) == (weights.gradient_penalty > 0)
    assert ("paired" in terms) == (weights.paired > 0)
    assert torch.equal(critic, next(task[1].parameters())) == (weights.adversarial == 0)
    moved = not torch.equal(generator, next(task[0].parameters()))
    assert moved == (history.best_epoch == 1)


def test_losses_do_not_use_the_pairing_unless_asked(make_task):
    """Shuffling the controls within a label and batch changes the paired term and no other."""
    generators, critics, train, _, run = make_task(draws_per_condition=8)
    generators.eval()
    whole = next(train.epoch(10_000))
    same = torch.arange(len(whole.p)).view(-1, 8).flip(1).flatten()
    shuffled = whole._replace(control=whole.control[same])
    config = replace(run.config, weights=LossWeights(paired=1.0))
    zero = torch.zeros(len(whole.p), *generators.n2p.latent_shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", lambda *shape, dtype=None, device=None: zero[: shape[0]])
        one, other = (
            step.generator_terms(generators, critics.eval(), batch, config, 1.0)[0] for batch in (whole, shuffled)
        )
    assert one["paired"].item() != pytest.approx(other["paired"].item(), rel=1e-6)
    for name in one.keys() - {"paired"}:
        assert one[name].item() == pytest.approx(other[name].item(), rel=1e-4), name


def test_same_seed_same_weights_and_global_state_untouched(make_task):
    before = torch.random.get_rng_state()
    runs = []
    for seed in (0, 0, 1):
        *task, run = make_task(pretrain=Stage("pretrain", 2, 256, 1e-3, "adam", 2))
        training.train_stage(*task, replace(run, seed=seed))
        runs.append(torch.cat([w.detach().flatten() for w in task[0].parameters()]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(before, torch.random.get_rng_state())


def test_early_stopping_restores_the_best_weights(make_task, monkeypatch):
    generators, critics, train, validation, run = make_task(pretrain=Stage("pretrain", 9, 64, 1e-3, "adam", 2))
    errors, seen = iter([5.0, 4.0, 3.0, 6.0, 3.5]), []

    def judged(nets, loader):
        seen.append({name: weight.clone() for name, weight in nets.state_dict().items()})
        error = next(errors)
        return Report(Errors(error, error), {}, 0.0, {})

    monkeypatch.setattr(training, "evaluate", judged)
    history = training.train_stage(generators, critics, train, validation, run)
    assert history.best_epoch == 2
    assert len(history.epochs) == 5  # epoch 0, two that improve, two of patience
    kept = generators.state_dict()
    assert all(torch.equal(kept[name], seen[2][name]) for name in kept)
    assert any(not torch.equal(kept[name], seen[4][name]) for name in kept)


def test_learning_rate_decays_every_tenth_of_the_epochs(make_task):
    *task, run = make_task(pretrain=Stage("pretrain", 20, 512, 1e-3, "adam", 20))
    trainer = training.Training(*task, run)
    rates = []
    for _ in range(5):
        trainer.steps()
        rates.append(trainer.stepper.optimizers[1].param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3, 9e-4, 9e-4, 8.1e-4, 8.1e-4])


def test_divergence_names_the_loss_and_the_epoch(make_task):
    generators, critics, train, validation, run = make_task()
    with torch.no_grad():
        critics.control.to_logit.bias.fill_(float("inf"))
    with pytest.raises(
        TrainingError, match=r"loss '(adversarial|critic)' is (nan|inf) since step 1, in epoch 1 of stage 'pretrain'"
    ):
        training.train_stage(generators, critics, train, validation, run)


def test_references_by_hand(make_task):
    _, _, train, validation, _ = make_task()
    control, perturbed = train.statistics[:2]
    whole = next(validation.epoch(10_000))
    found = references(train, validation)
    assert found.copy.n2p == pytest.approx((whole.perturbed - whole.control).square().mean().item(), rel=1e-5)
    shifted = whole.control + perturbed - control
    assert found.mean_effect.n2p == pytest.approx((whole.perturbed - shifted).square().mean().item(), rel=1e-5)
    back = whole.perturbed - (perturbed - control)
    assert found.mean_effect.p2n == pytest.approx((whole.control - back).square().mean().item(), rel=1e-5)


def test_collapse_figures_see_a_collapse(make_task):
    generators, _, _, validation, _ = make_task(model=replace(make_task()[-1].config.model, skip=False))
    with torch.no_grad():
        for generator in (generators.n2p, generators.p2n):
            generator.encoder.heads.weight.mul_(10)
        assert all(share > 0.5 for share in evaluate(generators, validation).active.values())
        generators.n2p.encoder.heads.weight.zero_()
        generators.n2p.condition.perturbation.weight.zero_()
    found = evaluate(generators, validation)
    assert [found.active[f"n2p.{latent}"] for latent in ("exp", "ko", "noise")] == [0, 0, 0]
    assert found.active["p2n.exp"] > 0.5
    assert found.spread == pytest.approx(0, abs=1e-5)


def _two_epochs(losses):
    report = Report(Errors(1.0, 1.0), {}, 0.0, {})
    trivial = References(Errors(1.0, 1.0), Errors(1.0, 1.0), 0.0, {})
    return History("pretrain", None, trivial, (Epoch(0, {}, report, 0.0), Epoch(1, losses, report, 0.0)), 0)


@pytest.mark.parametrize(
    ("name", "first", "value", "broken"),
    [
        ("cycle", 3.0, 2.9e4, False),
        ("cycle", 3.0, 3.1e4, True),
        ("kl", 1e-6, 0.9e4, False),  # held against 1, not against where it started
        ("kl", 1e-6, 1.1e4, True),
        ("gradient_norm.critics", 50.0, 6e5, True),
    ],
)
def test_slow_divergence_is_found(name, first, value, broken):
    known, terms = _two_epochs({name: first}), training.Terms({name: value}, {name: 9})
    stage = Stage("pretrain", 12, 32, 1e-3, "adam", 6)
    if not broken:
        training.check_terms(terms, known, stage)
        return
    with pytest.raises(TrainingError, match=r"(loss|norm of the).* in the first epoch, in epoch 2 of stage 'pretrain'"):
        training.check_terms(terms, known, stage)


def test_a_loss_that_breaks_under_way_is_dated_to_its_step(make_task, monkeypatch):
    """The error names the term that broke first, and the step."""
    stepping, steps = step.Stepper.step, []

    def poisoned(stepper, batch):
        terms = stepping(stepper, batch)
        steps.append(terms)
        if len(steps) == 3:
            terms["kl"] = terms["kl"] + float("inf")
        if len(steps) == 4:
            terms["batch"] = terms["batch"] + float("nan")
        return terms

    monkeypatch.setattr(step.Stepper, "step", poisoned)
    with pytest.raises(TrainingError, match=r"The loss 'kl' is inf since step 3, in epoch 1"):
        training.train_stage(*make_task())
    assert len(steps) > 4  # found at the end of the epoch: the device is asked once


def test_gradient_norms_are_in_the_history(make_task):
    history = training.train_stage(*make_task(pretrain=Stage("pretrain", 1, 32, 1e-3, "adam", 1)))
    for net in ("generators", "critics"):
        assert history.epochs[1].losses[f"gradient_norm.{net}"] > 0


def test_spreads_by_hand():
    """Two perturbations, two draws each, one batch, one gene: means 1 and 3, draws ±0.1 around them."""
    perturbed, control = [[0.9], [1.1], [2.9], [3.1]], [[2.0], [2.4], [2.0], [2.4]]
    pairs = sampling.Pairs(
        Values(AnnDataReader(AnnData(np.array(perturbed + control, dtype=np.float32)))),
        sp.csr_matrix(np.eye(4, 8, k=4, dtype=np.float32)),
        sp.csr_matrix(np.eye(4, 8, dtype=np.float32)),
        np.array([0, 0, 1, 1]),
        np.zeros(4, dtype=np.int64),
        np.zeros((4, 0), dtype=np.float32),
    )
    source = loader.PairLoader(pairs, "cpu")
    found = references(source, source)
    within = 0.2**2 / 2  # variance from one difference of two draws
    assert found.draw_spread["n2p"] == pytest.approx(within**0.5, rel=1e-5)
    assert found.draw_spread["p2n"] == pytest.approx((0.4**2 / 2) ** 0.5, rel=1e-5)
    assert found.spread == pytest.approx((1 + 0.1**2 - within) ** 0.5, rel=1e-5)
    control_mean, perturbed_mean = source.statistics[:2]
    assert (control_mean.item(), perturbed_mean.item()) == pytest.approx((2.2, 2.0))
    assert source.statistics.variance == pytest.approx(np.var(perturbed + control), rel=1e-5)
    single = sampling.Pairs(
        pairs.x, *(getattr(pairs, side)[::2] for side in ("control", "perturbed", "p", "b", "dose"))
    )
    assert np.isnan(references(source, loader.PairLoader(single, "cpu")).draw_spread["n2p"])


def test_evaluation_does_not_depend_on_the_size_of_its_chunks(make_task, monkeypatch):
    generators, _, _, whole, _ = make_task()
    expected = evaluate(generators, whole)
    monkeypatch.setattr(validation, "CHUNK", 7)
    found = evaluate(generators, whole)
    assert found.errors.n2p == pytest.approx(expected.errors.n2p, rel=1e-5)
    assert found.errors.p2n == pytest.approx(expected.errors.p2n, rel=1e-5)
    assert found.active == expected.active
    assert found.spread == pytest.approx(expected.spread, rel=1e-3, abs=1e-6)


def test_auto_is_a_device_that_is_there():
    assert devices.resolve("cpu") == "cpu"
    name = devices.resolve("auto")
    assert torch.zeros(1, device=name).item() == 0
    assert (name == "cuda") == torch.cuda.is_available()


def test_seeding_a_block_leaves_the_state_outside_even_after_an_error():
    before, inside = torch.random.get_rng_state(), []

    def fail():
        with devices.seeded(7, "cpu"):
            inside.append(torch.rand(3))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(before, torch.random.get_rng_state())
    with devices.seeded(7, "cpu"):
        assert torch.equal(inside[0], torch.rand(3))
