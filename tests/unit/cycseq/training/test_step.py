"""The lean step against plain autograd on the plain formulas: the same losses, gradients and weights, dropout included."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from cycseq import LossWeights, ModelConfig, Stage, TrainConfig, losses
from cycseq.data.loader import PairBatch
from cycseq.layers import Dropout, Linear, PReLU, collect_gradients
from cycseq.model import Critics, Generators, Sizes
from cycseq.training import step

SIZES = Sizes(n_genes=11, n_perturbations=5, n_batches=3)
MODEL = ModelConfig(hidden=(12, 10, 8), latent=3, embedding=4, n_blocks=2, n_tokens=4, dropout=0.3)
STAGE = Stage("pretrain", epochs=1, batch_size=9, learning_rate=1e-2, optimizer="adam", patience=1)
N, VARIANCE = 9, 0.7


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def make(config, dtype=torch.float64):
    nets = Generators(SIZES, config.model).to(dtype), Critics(SIZES, config.model).to(dtype)
    p, b = torch.arange(N) % SIZES.n_perturbations, torch.arange(N) % SIZES.n_batches
    x = 3 * torch.rand(2, N, SIZES.n_genes, dtype=dtype)
    return (*nets, PairBatch(x[0], x[1], p, b, torch.zeros(N, 0, dtype=dtype)))


# The plain formulas: weights by name, joined where the paper has one layer, torch's own functions, masks as drawn.


def bend(h, weights, name):
    return functional.prelu(h, weights[f"{name}.weight"])


def thin(h, rate):
    dropout = Dropout(rate).train()
    return h * dropout.mask(h)


def linear(h, weights, name):
    return functional.linear(h, weights[f"{name}.weight"], weights[f"{name}.bias"])


def first(x, e, weights, name):
    joined = torch.cat([weights[f"{name}.expression.weight"], weights[f"{name}.condition.weight"]], dim=1)
    return functional.linear(torch.cat([x, e], dim=1), joined, weights[f"{name}.condition.bias"])


def layers(h, weights, name, rate):
    for index in (0, 3, 6):
        h = thin(bend(h, weights, f"{name}.{index}"), rate)
        h = linear(h, weights, f"{name}.{index + 2}") if index < 6 else h
    return h


def trunk(h, weights, name, model):
    h = layers(h, weights, f"{name}.layers", model.dropout)
    for index in range(model.n_blocks):
        block = f"{name}.blocks.{index}"
        r = thin(bend(linear(h, weights, f"{block}.first"), weights, f"{block}.inner"), model.dropout)
        h = bend(linear(r, weights, f"{block}.second") + h, weights, f"{block}.outer")
    q, k, v = linear(h, weights, f"{name}.attention.to_qkv").view(len(h), 3, model.n_tokens, -1).unbind(1)
    mixed = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v
    return h + weights[f"{name}.attention.gain"] * mixed.flatten(1)


def embed(weights, name, batch):
    tables = [f"{name}.{table}.weight" for table in ("perturbation", "batch")]
    return torch.cat([weights[tables[0]][batch.p], weights[tables[1]][batch.b]], dim=1)


def translate(weights, name, x, batch, model):
    e = embed(weights, f"{name}.condition", batch)
    noise = torch.randn(len(x), 3, model.latent, dtype=x.dtype)
    h = trunk(first(x, e, weights, f"{name}.encoder.input"), weights, f"{name}.encoder.trunk", model)
    mu, log_variance = linear(h, weights, f"{name}.encoder.heads").view(len(x), 2, 3, -1).unbind(1)
    z = mu + torch.exp(log_variance / 2) * noise
    h = linear(torch.cat([z.flatten(1), e], dim=1), weights, f"{name}.decoder.input")
    hidden = trunk(h, weights, f"{name}.decoder.trunk", model)
    out = linear(hidden, weights, f"{name}.decoder.to_expression") + (x if model.skip else 0)
    x_hat = bend(out, weights, f"{name}.decoder.activation")
    labels = [linear(hidden, weights, f"{name}.decoder.to_{kind}") for kind in ("perturbation", "batch")]
    return x_hat, mu, log_variance, labels


def score(weights, name, x, batch, model):
    h = first(x, embed(weights, f"{name}.condition", batch), weights, f"{name}.input")
    return linear(layers(h, weights, f"{name}.layers", model.dropout), weights, f"{name}.to_logit").squeeze(1)


def plain_generators(generators, critics, batch, config):
    own, judges = dict(generators.named_parameters()), dict(critics.named_parameters())
    model, sides = config.model, ("n2p", "p2n")
    inputs = {"n2p": batch.control, "p2n": batch.perturbed}
    made = {side: translate(own, side, inputs[side], batch, model) for side in sides}
    cycled = {
        side: translate(own, other, made[side][0], batch, model) for side, other in zip(sides, sides[::-1], strict=True)
    }
    terms = {"cycle": sum(((cycled[s][0] - inputs[s]) ** 2).mean() / VARIANCE for s in sides)}
    terms["kl"] = sum(((v.exp() + m**2 - 1 - v) / 2).mean((0, 2)).sum() for _, m, v, _ in made.values())
    for index, (name, label) in enumerate((("perturbation", batch.p), ("batch", batch.b))):
        terms[name] = sum(functional.cross_entropy(cycled[s][3][index], label) for s in sides)
    if config.weights.paired:
        targets = {"n2p": batch.perturbed, "p2n": batch.control}
        terms["paired"] = sum(((made[s][0] - targets[s]) ** 2).mean() / VARIANCE for s in sides)
    terms["adversarial"] = sum(
        losses.adversarial_generator(score(judges, critic, made[s][0], batch, model), config.adversarial)
        for s, critic in zip(sides, ("perturbed", "control"), strict=True)
    )
    return terms, [made[s][0].detach() for s in sides]


def plain_critics(critics, batch, fakes, config):
    weights, model = dict(critics.named_parameters()), config.model
    terms = {"critic": 0.0, "gradient_penalty": 0.0}
    sides = (("perturbed", batch.perturbed), ("control", batch.control))
    for (name, real), fake in zip(sides, fakes, strict=True):
        scores = score(weights, name, real, batch, model), score(weights, name, fake, batch, model)
        terms["critic"] += losses.adversarial_critic(*scores, config.adversarial)
        if config.weights.gradient_penalty:
            mix = torch.rand(len(real), 1, dtype=real.dtype)
            between = (mix * real + (1 - mix) * fake).requires_grad_(True)
            total = score(weights, name, between, batch, model).sum()
            (gradient,) = torch.autograd.grad(total, between, create_graph=True)
            terms["gradient_penalty"] += ((gradient.norm(dim=1) - 1) ** 2).mean()
    return {name: term for name, term in terms.items() if torch.is_tensor(term)}


CONFIGS = {
    "paper": TrainConfig(model=MODEL),
    "least squares": TrainConfig(model=MODEL, adversarial="lsgan"),
    "paper with penalty": TrainConfig(model=MODEL, weights=LossWeights(gradient_penalty=3.0)),
    "published code": TrainConfig(
        model=MODEL,
        adversarial="lsgan",
        weights=LossWeights(cycle=10.0, kl=0.01, perturbation=0.1, batch=0.2, gradient_penalty=10.0),
    ),
    "skip and paired": TrainConfig(model=replace(MODEL, skip=True), weights=LossWeights(adversarial=0.1, paired=10.0)),
}


def same_gradients(net, plain):
    for name, weight in net.named_parameters():
        expected = plain[name] if plain[name] is not None else torch.zeros_like(weight)
        assert weight.grad is not None, name
        assert torch.allclose(weight.grad, expected, rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("name", CONFIGS)
def test_losses_and_gradients_are_those_of_the_plain_formulas(name):
    config = CONFIGS[name]
    generators, critics, batch = make(config)
    state = torch.random.get_rng_state()
    plain, plain_fakes = plain_generators(generators, critics, batch, config)
    total = sum(getattr(config.weights, term) * value for term, value in plain.items())
    plain_gradients = torch.autograd.grad(total, list(generators.parameters()), allow_unused=True)
    plain_gradients = dict(zip(dict(generators.named_parameters()), plain_gradients, strict=True))
    plain_judged = plain_critics(critics, batch, plain_fakes, config)
    total = plain_judged["critic"] + config.weights.gradient_penalty * plain_judged.get("gradient_penalty", 0)
    judged_gradients = torch.autograd.grad(total, list(critics.parameters()))
    judged_gradients = dict(zip(dict(critics.named_parameters()), judged_gradients, strict=True))

    torch.random.set_rng_state(state)
    for net in (generators, critics):
        collect_gradients(net, on=True)
    critics.requires_grad_(False)
    terms, fakes = step.generator_terms(generators, critics, batch, config, VARIANCE)
    step.generator_total(terms, config.weights).backward()
    critics.requires_grad_(True)
    judged = step.critic_terms(critics, batch, fakes, config)
    step.critic_total(judged, config.weights).backward()

    assert terms.keys() == plain.keys()
    assert judged.keys() == plain_judged.keys()
    for found, expected in ((terms, plain), (judged, plain_judged)):
        for term, value in expected.items():
            assert found[term].item() == pytest.approx(value.item(), rel=1e-12), term
    same_gradients(generators, plain_gradients)
    same_gradients(critics, judged_gradients)


def test_score_gradient_is_the_derivative_of_the_score():
    critic = make(CONFIGS["paper"])[1].control.eval()
    x = torch.randn(N, SIZES.n_genes, dtype=torch.float64, requires_grad=True)
    condition = torch.randn(N, critic.condition.width, dtype=torch.float64)
    (plain,) = torch.autograd.grad(critic(x, condition).sum(), x)
    assert torch.allclose(step.score_gradient(critic, critic.input(x, condition)), plain)


@pytest.mark.parametrize("max_norm", [1e-3, 1e3])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_step_clips_and_descends_as_torch_does(optimizer, max_norm):
    """Three steps, so that gradient buffers left over from the last would show."""
    config = replace(CONFIGS["published code"], max_gradient_norm=max_norm)
    generators, critics, batch = make(config)
    mine = step.Stepper(generators, critics, config, replace(STAGE, optimizer=optimizer), VARIANCE)
    nets = make(config)[:2]
    for net, other in zip(nets, (generators, critics), strict=True):
        net.load_state_dict(other.state_dict())
    kinds = {"adam": (torch.optim.Adam, {"betas": STAGE.betas}), "rmsprop": (torch.optim.RMSprop, {})}
    kind, settings = kinds[optimizer]
    optimizers = [kind(net.parameters(), lr=STAGE.learning_rate, **settings) for net in nets]

    def descend(index, total):
        optimizers[index].zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(nets[index].parameters(), max_norm)
        optimizers[index].step()
        return norm.item()

    for _ in range(3):
        state = torch.random.get_rng_state()
        found = mine.step(batch)
        torch.random.set_rng_state(state)
        plain, fakes = plain_generators(*nets, batch, config)
        norm = descend(0, sum(getattr(config.weights, term) * value for term, value in plain.items()))
        assert found["gradient_norm.generators"].item() == pytest.approx(norm, rel=1e-9)
        judged = plain_critics(nets[1], batch, fakes, config)
        norm = descend(1, judged["critic"] + config.weights.gradient_penalty * judged["gradient_penalty"])
        assert found["gradient_norm.critics"].item() == pytest.approx(norm, rel=1e-9)
    for net, other in zip(nets, (generators, critics), strict=True):
        for name, weight in net.named_parameters():
            # fused Adam reads the clipping factor in float32
            assert torch.allclose(weight, other.get_parameter(name), rtol=1e-6, atol=1e-7), name


def test_step_in_bfloat16_keeps_weights_and_losses_in_float32():
    config = replace(CONFIGS["published code"], model=replace(MODEL, dropout=0.0), precision="bfloat16")
    generators, critics, batch = make(config, torch.float32)
    exact = Generators(SIZES, config.model), Critics(SIZES, config.model)
    for net, other in zip(exact, (generators, critics), strict=True):
        net.load_state_dict(other.state_dict())
    state = torch.random.get_rng_state()
    low = step.Stepper(generators, critics, config, STAGE, VARIANCE).step(batch)
    torch.random.set_rng_state(state)
    high = step.Stepper(*exact, replace(config, precision="float32"), STAGE, VARIANCE).step(batch)
    for name, term in low.items():
        assert term.dtype == torch.float32, name
        assert term.item() != high[name].item(), name
        assert term.item() == pytest.approx(high[name].item(), rel=0.05), name
    for net in (generators, critics):
        assert {weight.dtype for weight in net.parameters()} == {torch.float32}
        assert {weight.grad.dtype for weight in net.parameters()} == {torch.float32}


def test_precision_by_device():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert not step.low_precision("auto", cpu)._enabled
    assert step.low_precision("bfloat16", cpu)._enabled
    assert step.low_precision("bfloat16", cpu).fast_dtype == torch.bfloat16
    if torch.cuda.is_available():
        assert step.low_precision("auto", cuda)._enabled


def test_reduce_sees_the_gradients_before_they_are_clipped():
    config = replace(CONFIGS["paper"], max_gradient_norm=1e-6)
    generators, critics, batch = make(config)
    seen = []

    def reduce(gradients):
        seen.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        for gradient in gradients:
            gradient.zero_()

    before = [weight.clone() for weight in generators.parameters()]
    found = step.Stepper(generators, critics, config, STAGE, VARIANCE, reduce).step(batch)
    assert len(seen) == 2
    assert min(seen) > 1e-3
    assert found["gradient_norm.generators"].item() == found["gradient_norm.critics"].item() == 0
    assert all(torch.equal(old, new) for old, new in zip(before, generators.parameters(), strict=True))


def test_release_drops_the_gradients():
    config = CONFIGS["paper"]
    generators, critics, batch = make(config)
    stepper = step.Stepper(generators, critics, config, STAGE, VARIANCE)
    stepper.step(batch)
    stepper.release()
    weights = [*generators.parameters(), *critics.parameters()]
    assert all(weight.grad is None for weight in weights)
    heads = generators.n2p.encoder.heads
    (gradient,) = torch.autograd.grad(heads(torch.ones(1, 8, dtype=torch.float64)).sum(), heads.weight)
    assert torch.equal(gradient, torch.ones_like(gradient))  # plain again


def test_collected_gradients_add_up():
    layer = Linear(3, 2).double()
    collect_gradients(layer, on=True)
    x = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    for _ in range(2):
        (layer(x) + layer(2 * x)).sum().backward()
    assert torch.equal(layer.weight.grad, 6 * x.sum(dim=0).expand(2, 3))
    assert torch.equal(layer.bias.grad, torch.full((2,), 8.0, dtype=torch.float64))


def test_known_product_is_returned_as_given_and_trains_the_weights():
    layer = Linear(3, 2, bias=False)
    collect_gradients(layer, on=True)
    x, given = torch.ones(1, 3), torch.tensor([[5.0, 7.0]])
    out = layer(x, given)
    assert torch.equal(out, given)
    out.sum().backward()
    assert torch.equal(layer.weight.grad, torch.ones(2, 3))


def test_prelu_is_torchs():
    h = torch.tensor([[-2.0, 0.0, 3.0]], dtype=torch.float64, requires_grad=True)
    mine, theirs = PReLU().double(), torch.nn.PReLU().double()
    for block in (mine, theirs):
        h.grad = None
        out = block(h)
        assert out.tolist() == [[-0.5, 0.0, 3.0]]
        out.backward(torch.tensor([[1.0, 10.0, 100.0]], dtype=torch.float64))
        assert h.grad.tolist() == [[0.25, 2.5, 100.0]]
        assert block.weight.grad.tolist() == [-2.0]
    assert mine.slopes(h.detach()).tolist() == [[0.25, 0.25, 1.0]]


@pytest.mark.parametrize("shape", [(1000, 333), (7, 3)])
def test_dropout_keeps_the_stated_share_and_the_mean(shape):
    h = torch.ones(shape)
    dropout = Dropout(0.2)
    out = dropout(h)
    kept = 1 - 13107 / 65536  # the 65,536th nearest to 0.8
    assert set(out.unique().tolist()) <= {0.0, torch.tensor(1 / kept).item()}
    n = h.numel()
    assert abs((out > 0).double().mean().item() - kept) < 5 * (kept * (1 - kept) / n) ** 0.5
    assert torch.equal(dropout.eval()(h), h)
    assert torch.equal(Dropout(0.0)(h), h)


def test_dropout_decides_each_unit_on_its_own():
    """Neighbours within one random number are independent: all sixteen patterns of four appear as often as they should."""
    kept = Dropout(0.5).mask(torch.ones(250, 400)) > 0
    patterns = kept.view(-1, 4).long() @ torch.tensor([8, 4, 2, 1])
    counts = torch.bincount(patterns, minlength=16).double()
    expected = len(patterns) / 16
    assert ((counts - expected).square() / expected).sum() < 50  # chi-square, 15 degrees of freedom: p < 1e-5
    first = Dropout(0.5).mask(torch.ones(250, 400)) > 0
    assert abs((kept == first).double().mean().item() - 0.5) < 0.01
