from dataclasses import replace

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from cycseq.config import ModelConfig
from cycseq.model import (
    ConditionEmbedding,
    Critic,
    Critics,
    Decoder,
    Encoder,
    Generator,
    Generators,
    InputLayer,
    ResidualBlock,
    Sizes,
    TokenAttention,
    Trunk,
)

SIZES = Sizes(n_genes=30, n_perturbations=5, n_batches=4)
SMALL = ModelConfig(hidden=(24, 16), latent=6, embedding=3, n_blocks=2, n_tokens=4, dropout=0.0)
N = 7


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(autouse=True)
def _check_shapes(monkeypatch):
    """Check every block's declared shapes while a test runs."""
    for block in (
        TokenAttention,
        ResidualBlock,
        InputLayer,
        Trunk,
        ConditionEmbedding,
        Encoder,
        Decoder,
        Generator,
        Critic,
    ):
        monkeypatch.setattr(block, "forward", jaxtyped(typechecker=beartype)(block.forward))


def labels(n=N):
    return torch.arange(n) % SIZES.n_perturbations, torch.arange(n) % SIZES.n_batches


def translate(generator, x, dose=None):
    p, b = labels(len(x))
    return generator(x, generator.condition(p, b, torch.zeros(len(x), 0) if dose is None else dose))


def test_generator_shapes():
    generator = Generator(SIZES, SMALL)
    out = translate(generator, torch.rand(N, 30))
    assert out.x_hat.shape == (N, 30)
    assert out.mu.shape == out.log_variance.shape == (N, 3, 6)
    p_logits, b_logits = generator.labels(out.hidden)
    assert p_logits.shape == (N, 5)
    assert b_logits.shape == (N, 4)


def test_critic_gives_one_logit_a_sample():
    critic = Critic(SIZES, SMALL)
    assert critic(torch.rand(N, 30), critic.condition(*labels(), torch.zeros(N, 0))).shape == (N,)


def test_paper_widths():
    generator = Generator(SIZES, ModelConfig())
    encoder, decoder = generator.encoder, generator.decoder
    assert encoder.input.expression.weight.shape == (1024, 30)
    assert encoder.input.condition.weight.shape == (1024, 64)
    for trunk in (encoder.trunk, decoder.trunk):
        widths = [layer.weight.shape for layer in trunk.layers if isinstance(layer, torch.nn.Linear)]
        assert widths == [(512, 1024), (256, 512)]
        assert len(trunk.blocks) == 2
    assert encoder.heads.weight.shape == (6 * 128, 256)
    assert decoder.input.weight.shape == (1024, 3 * 128 + 64)
    assert decoder.to_expression.weight.shape == (30, 256)


def test_input_layer_is_one_linear_layer_of_the_joined_input():
    layer = InputLayer(30, 6, 24)
    x, e = torch.randn(N, 30), torch.randn(N, 6)
    joined = torch.cat([layer.expression.weight, layer.condition.weight], dim=1)
    plain = torch.nn.functional.linear(torch.cat([x, e], dim=1), joined, layer.condition.bias)
    assert torch.allclose(layer(x, e), plain, atol=1e-6)
    assert 0.9 / 6 < max(weight.abs().max() for weight in layer.parameters()) <= 1 / 6  # 1 / sqrt(30 + 6)


def test_generators_share_no_weights():
    pair = Generators(SIZES, SMALL)
    critics = Critics(SIZES, SMALL)
    pointers = [w.data_ptr() for net in (pair, critics) for w in net.parameters()]
    assert len(set(pointers)) == len(pointers)


def test_attention_gets_gradients_in_all_three_projections():
    generator = Generator(SIZES, SMALL)
    translate(generator, torch.rand(N, 30)).x_hat.square().sum().backward()
    for trunk in (generator.encoder.trunk, generator.decoder.trunk):
        assert trunk.attention.gain.item() != 0
        for gradient in trunk.attention.to_qkv.weight.grad.chunk(3):
            assert gradient.abs().sum() > 0


def test_attention_is_softmax_over_tokens():
    block = TokenAttention(8, 4).double()
    h = torch.randn(2, 8).double()
    q, k, v = (block.to_qkv(h).view(2, 3, 4, 2)[:, i] for i in range(3))
    by_hand = torch.stack([torch.softmax(q[i] @ k[i].T / 2**0.5, dim=1) @ v[i] for i in range(2)]).flatten(1)
    assert torch.allclose(block(h), h + block.gain * by_hand)


def test_attention_none_leaves_it_out():
    generator = Generator(SIZES, ModelConfig(hidden=(24, 16), attention="none"))
    assert not any("attention" in name for name, _ in generator.named_parameters())


def test_residual_block_by_hand():
    block = ResidualBlock(2, 0.0)
    with torch.no_grad():
        for layer in (block.first, block.second):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    # PReLU slope 1/4: h = (1, −4): inner (1, −1), + h = (2, −5), outer (2, −1.25)
    assert block(torch.tensor([[1.0, -4.0]])).tolist() == [[2.0, -1.25]]


def test_latent_noise_is_reparameterised():
    generator = Generator(SIZES, SMALL).eval()
    p, b = labels()
    condition = generator.condition(p, b, torch.zeros(N, 0))
    x, noise = torch.rand(N, 30), torch.randn(N, 3, 6)
    mean, zero = generator(x, condition), generator(x, condition, torch.zeros(N, 3, 6))
    sampled = generator(x, condition, noise)
    assert torch.equal(mean.x_hat, zero.x_hat)
    z = sampled.mu + torch.exp(0.5 * sampled.log_variance) * noise
    assert torch.allclose(sampled.hidden, generator.decoder(z, condition))
    assert not torch.allclose(mean.x_hat, sampled.x_hat)


def test_conditions_reach_encoder_and_decoder():
    generator = Generator(SIZES, SMALL).eval()
    x, dose = torch.rand(1, 30).expand(5, -1), torch.zeros(5, 0)
    out = generator(x, generator.condition(torch.arange(5), torch.zeros(5, dtype=torch.int64), dose))
    assert len(torch.unique(out.mu.flatten(1), dim=0)) == 5
    assert len(torch.unique(out.x_hat, dim=0)) == 5


def test_dose_is_an_input_where_there_are_doses():
    generator = Generator(Sizes(30, 5, 4, n_doses=1), SMALL).eval()
    x = torch.rand(N, 30)
    low, high = translate(generator, x, torch.ones(N, 1)), translate(generator, x, torch.full((N, 1), 4.0))
    assert not torch.allclose(low.x_hat, high.x_hat)


def test_embeddings_are_lookups():
    condition = ConditionEmbedding(SIZES, SMALL)
    made = condition(torch.tensor([2]), torch.tensor([3]), torch.zeros(1, 0))
    assert torch.equal(made[0], torch.cat([condition.perturbation.weight[2], condition.batch.weight[3]]))


def test_skip_starts_as_the_identity():
    generator = Generator(SIZES, ModelConfig(hidden=(24, 16), skip=True)).eval()
    generator.start_at(torch.zeros(30))
    x = torch.rand(N, 30)
    assert torch.equal(translate(generator, x).x_hat, x)


def test_without_skip_training_starts_near_the_mean():
    generator = Generator(SIZES, SMALL).eval()
    generator.start_at(torch.full((30,), 7.0))
    assert (translate(generator, torch.rand(N, 30)).x_hat - 7).abs().max() < 2


def test_linear_output_can_be_negative_without_bend():
    generator = Generator(SIZES, ModelConfig(hidden=(24, 16), output="linear")).eval()
    generator.start_at(torch.full((30,), -7.0))
    assert translate(generator, torch.zeros(N, 30)).x_hat.max() < -5


def test_one_latent_in_the_place_of_three():
    generator = Generator(SIZES, replace(SMALL, latents="one"))
    assert generator.latents == ("shared",)
    assert generator.latent_shape == (1, 6)
    out = translate(generator, torch.rand(N, 30))
    assert out.mu.shape == out.log_variance.shape == (N, 1, 6)
    assert generator.decoder.input.weight.shape == (24, 6 + 6)


TINY = ModelConfig(hidden=(6, 4), latent=2, embedding=2, n_blocks=1, n_tokens=2, dropout=0.0)
TINY_SIZES = Sizes(n_genes=5, n_perturbations=3, n_batches=2, n_doses=1)


def _double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def _cases():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        condition = _double(3, 5)
        generator, critic = Generator(TINY_SIZES, TINY).double(), Critic(TINY_SIZES, TINY).double()
        yield "attention", TokenAttention(4, 2).double(), (_double(3, 4),)
        yield "residual block", ResidualBlock(4, 0.0).double(), (_double(3, 4),)
        yield "input layer", InputLayer(5, 5, 6).double(), (_double(3, 5), condition)
        yield "trunk", Trunk(TINY).double(), (_double(3, 6),)
        yield "encoder", Encoder(5, 5, TINY).double(), (_double(3, 5), condition)
        yield "decoder", Decoder(TINY_SIZES, 5, TINY).double(), (_double(3, 3, 2), condition)
        yield "generator", generator, (_double(3, 5), condition, _double(3, 3, 2))
        yield "critic", critic, (_double(3, 5), condition)


@pytest.mark.parametrize(("block", "inputs"), [pytest.param(*case[1:], id=case[0]) for case in _cases()])
def test_gradients_of_each_block_agree_with_finite_differences(block, inputs):
    """Of the outputs with respect to the inputs and to every weight."""
    names, weights = zip(*block.named_parameters(), strict=True)

    def run(*values):
        given = dict(zip(names, values[len(inputs) :], strict=True))
        out = torch.func.functional_call(block, given, values[: len(inputs)])
        return tuple(out) if isinstance(out, tuple) else out

    used = [weight.detach().requires_grad_(True) for weight in weights]
    assert torch.autograd.gradcheck(run, (*inputs, *used), fast_mode=True)
