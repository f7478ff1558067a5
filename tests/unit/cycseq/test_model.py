import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from cycseq.config import ModelConfig
from cycseq.model import (
    Condition,
    Critic,
    Critics,
    Decoder,
    Encoder,
    Generator,
    Generators,
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
    for block in (TokenAttention, ResidualBlock, Trunk, Condition, Encoder, Decoder, Generator, Critic):
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
    widths = [layer.weight.shape for layer in generator.encoder.trunk.layers if isinstance(layer, torch.nn.Linear)]
    assert widths == [(1024, 30 + 64), (512, 1024), (256, 512)]
    assert generator.encoder.heads.weight.shape == (6 * 128, 256)
    assert generator.decoder.trunk.layers[0].weight.shape == (1024, 3 * 128 + 64)
    assert len(generator.encoder.trunk.blocks) == 2


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
    condition = Condition(SIZES, SMALL)
    made = condition(torch.tensor([2]), torch.tensor([3]), torch.zeros(1, 0))
    assert torch.equal(made[0], torch.cat([condition.perturbation.weight[2], condition.batch.weight[3]]))
    mean = condition.average(torch.tensor([2]), torch.tensor([0, 1]), torch.zeros(1, 0))
    assert torch.allclose(mean[0, 3:], (condition.batch.weight[0] + condition.batch.weight[1]) / 2)


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
