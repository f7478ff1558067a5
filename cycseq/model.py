"""The whole network: encoder, decoder, generator and critic, with shapes in the margin.

| paper (2.5)               | here                                   |                                              |
| ------------------------- | -------------------------------------- | -------------------------------------------- |
| G: P → N                  | `Generators.p2n`                       | perturbed → control                          |
| F: N → P                  | `Generators.n2p`                       | control → perturbed                          |
| A^N, A^P                  | `Critics.control`, `Critics.perturbed` | discriminators                               |
| x, x̂                      | `x`, `x_hat`                           | expression [sample, gene]                    |
| p, b                      | `p`, `b`                               | perturbation and batch index [sample]        |
| p̂, b̂                      | `p_logits`, `b_logits`                 | [sample, perturbation], [sample, batch]      |
| e_p, e_b                  | `ConditionEmbedding`                            | embeddings, H dimensions each                |
| h_0 … h_att               | `Trunk`                                | linear layers, L residual blocks, attention  |
| μ, log σ²                 | `mu`, `log_variance`                   | [sample, kind, D], order exp, ko, noise      |
| z_exp, z_ko, z_noise      | `z`                                    | [sample, kind, D]                            |
| N, K_p, K_b, H, D, L      | `Sizes`, `ModelConfig`                 | genes, labels, widths                        |

`Linear`, `PReLU` and `Dropout` are torch.nn's in what they compute; see `cycseq.layers` for how.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cycseq.config import Latents, ModelConfig
from cycseq.layers import Dropout, InputLayer, Linear, PReLU, ResidualBlock, TokenAttention

Expression = Float[Tensor, "sample gene"]
Condition = Float[Tensor, "sample width"]
"""[e_p; dose; e_b]."""
First = Float[Tensor, "sample width"]
"""First hidden vector, before its activation."""
Hidden = Float[Tensor, "sample hidden"]
"""Last hidden vector."""
Latent = Float[Tensor, "sample kind latent"]
Index = Int[Tensor, " sample"]
Dose = Float[Tensor, "sample dose"]
"""log10 of the target dose in nM; width 0 where there are no doses."""
Lines = Float[Tensor, "sample term gene"]

LATENTS: dict[Latents, tuple[str, ...]] = {"three": ("exp", "ko", "noise"), "one": ("shared",)}
"""Names of the latents, in their order, by `ModelConfig.latents`."""


@dataclass(frozen=True)
class Sizes:
    """Sizes the data decide: N, K_p and K_b, the number of (context, batch) pairs."""

    n_genes: int
    n_perturbations: int
    n_batches: int
    n_doses: int = 0
    """1 if the target dose is an input beside e_p, else 0."""


class Translation(NamedTuple):
    """What a generator makes of a sample, and the latents it made it from."""

    x_hat: Expression
    mu: Latent
    log_variance: Latent
    hidden: Hidden


def _layers(config: ModelConfig) -> nn.Sequential:
    """Everything from the first hidden vector to the last: 1024 → 512 → 256, each bent and thinned."""
    layers: list[nn.Module] = [PReLU(), Dropout(config.dropout)]
    for width, hidden in pairwise(config.hidden):
        layers += [Linear(width, hidden), PReLU(), Dropout(config.dropout)]
    return nn.Sequential(*layers)


class Trunk(nn.Module):
    """Body of encoder and decoder: linear layers 1024 → 512 → 256, residual blocks, self-attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        last = config.hidden[-1]
        self.layers = _layers(config)
        self.blocks = nn.Sequential(*(ResidualBlock(last, config.dropout) for _ in range(config.n_blocks)))
        self.attention = TokenAttention(last, config.n_tokens) if config.attention == "tokens" else nn.Identity()

    def forward(self, h: First) -> Hidden:
        """Map the first hidden vector to the last."""
        return self.attention(self.blocks(self.layers(h)))


class ConditionEmbedding(nn.Module):
    """Embedding tables of perturbations and batches; [e_p; dose; e_b], by lookup."""

    def __init__(self, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.perturbation = nn.Embedding(sizes.n_perturbations, config.embedding)
        self.batch = nn.Embedding(sizes.n_batches, config.embedding)
        nn.init.normal_(self.perturbation.weight, std=config.perturbation_scale)
        nn.init.normal_(self.batch.weight, std=config.batch_scale)
        self.width = 2 * config.embedding + sizes.n_doses

    def forward(self, p: Index, b: Index, dose: Dose) -> Condition:
        """Look up e_p and e_b, and put the dose between them."""
        return torch.cat([self.perturbation(p), dose, self.batch(b)], dim=1)


class Encoder(nn.Module):
    """[x; e_p; e_b] → means and log variances of z_exp, z_ko, z_noise."""

    def __init__(self, n_genes: int, condition_width: int, config: ModelConfig) -> None:
        super().__init__()
        self.n_kinds = len(LATENTS[config.latents])
        self.input = InputLayer(n_genes, condition_width, config.hidden[0])
        self.trunk = Trunk(config)
        self.heads = Linear(config.hidden[-1], 2 * self.n_kinds * config.latent)

    def forward(self, x: Expression, condition: Condition) -> tuple[Latent, Latent]:
        """Return mu and log variance."""
        h = self.trunk(self.input(x, condition))  # [sample, 256]
        mu, log_variance = self.heads(h).to(x.dtype).view(len(x), 2, self.n_kinds, -1).unbind(1)
        return mu, log_variance


class Decoder(nn.Module):
    """[z_exp; z_ko; z_noise; e_p; e_b] → hidden vector → x̂ and, on demand, p̂ and b̂.

    The paper's one linear output layer of N + K_p + K_b columns is kept as three, so that p̂ and b̂ cost nothing where
    no loss reads them.
    """

    def __init__(self, sizes: Sizes, condition_width: int, config: ModelConfig) -> None:
        super().__init__()
        first, last = config.hidden[0], config.hidden[-1]
        self.input = Linear(len(LATENTS[config.latents]) * config.latent + condition_width, first)
        self.trunk = Trunk(config)
        self.to_expression = Linear(last, sizes.n_genes)
        self.to_perturbation = Linear(last, sizes.n_perturbations)
        self.to_batch = Linear(last, sizes.n_batches)
        self.activation = PReLU() if config.output == "prelu" else nn.Identity()

    def forward(self, z: Latent, condition: Condition) -> Hidden:
        """Return the last hidden vector, which all output layers read."""
        return self.trunk(self.input(torch.cat([z.flatten(1), condition], dim=1)))


class Generator(nn.Module):
    """One direction of translation: expression of one state → expression of the other."""

    def __init__(self, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.skip = config.skip
        self.latents = LATENTS[config.latents]
        self.latent_shape = (len(self.latents), config.latent)
        self.condition = ConditionEmbedding(sizes, config)
        self.encoder = Encoder(sizes.n_genes, self.condition.width, config)
        self.decoder = Decoder(sizes, self.condition.width, config)

    def forward(self, x: Expression, condition: Condition, noise: Latent | None = None) -> Translation:
        """Translate samples under vectors of this generator's `condition`.

        `noise` is ε of z = μ + σε, in the order of `latents`; None takes the latent means.
        """
        mu, log_variance = self.encoder(x, condition)  # [sample, kind, D]
        z = mu if noise is None else mu + torch.exp(0.5 * log_variance) * noise
        hidden = self.decoder(z, condition)  # [sample, 256]
        out = self.decoder.to_expression(hidden).to(x.dtype)  # [sample, gene]
        x_hat = self.decoder.activation(out + x if self.skip else out)
        return Translation(x_hat, mu, log_variance, hidden)

    @torch.no_grad()
    def start_at(self, profile: Float[Tensor, " gene"]) -> None:
        """Set where training starts: the mean expression of the target state, or with `skip` the input unchanged."""
        output = self.decoder.to_expression
        if self.skip:
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
        else:
            output.bias.copy_(profile)

    def labels(self, hidden: Hidden) -> tuple[Float[Tensor, "sample perturbation"], Float[Tensor, "sample batch"]]:
        """Read p̂ and b̂ (logits), in the weights' precision, from the hidden vector of a translation."""
        dtype = self.condition.batch.weight.dtype
        return self.decoder.to_perturbation(hidden).to(dtype), self.decoder.to_batch(hidden).to(dtype)


class Critic(nn.Module):
    """[x; e_p; e_b] → 1024 → 512 → 256 → one logit: real or generated; embeddings of its own."""

    def __init__(self, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.condition = ConditionEmbedding(sizes, config)
        self.input = InputLayer(sizes.n_genes, self.condition.width, config.hidden[0])
        self.layers = _layers(config)
        self.to_logit = Linear(config.hidden[-1], 1)

    def forward(self, x: Expression, condition: Condition) -> Float[Tensor, " sample"]:
        """Score samples under condition vectors made by this critic's `condition`."""
        return self.score(self.input(x, condition))

    def score(self, h: First) -> Float[Tensor, " sample"]:
        """Score samples from their first hidden vector."""
        return self.to_logit(self.layers(h)).squeeze(1).to(self.to_logit.weight.dtype)


@dataclass(frozen=True)
class Effects:
    """Expected change of each (context, batch) and perturbation, log2 units: the sum of a row of each table.

    With doses a row has a second term, the slope in log10 of the dose.
    """

    batch: Float[np.ndarray, "batch term gene"]
    """Mean change in the batch's context, shrunk towards the mean over contexts."""
    perturbation: Float[np.ndarray, "perturbation term gene"]
    """What a perturbation adds to it in every context, shrunk towards 0."""
    centre: float = 0.0
    """log10 of the dose in nM at which the first term is the change; 0 without doses."""


class Blend(nn.Module):
    """The additive estimate of every change, and the network's share α in each direction; not in the paper.

    Filled after pre-training. All of it is buffers, saved with the weights.
    """

    batch: Tensor
    perturbation: Tensor
    centre: Tensor
    shares: Tensor

    def __init__(self, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.floor = 0.0 if config.output == "prelu" else -torch.inf
        n_terms = 1 + sizes.n_doses
        self.register_buffer("batch", torch.zeros(sizes.n_batches, n_terms, sizes.n_genes))
        self.register_buffer("perturbation", torch.zeros(sizes.n_perturbations, n_terms, sizes.n_genes))
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("shares", torch.ones(2))

    def take(self, effects: Effects) -> None:
        """Take over the tables of an estimate."""
        self.batch.copy_(torch.from_numpy(effects.batch))
        self.perturbation.copy_(torch.from_numpy(effects.perturbation))
        self.centre.fill_(effects.centre)

    def change(self, p: Index, b: Index, dose: Dose) -> Expression:
        """Estimated change, control to perturbed, of known perturbations and batches."""
        return self.at(self.batch[b] + self.perturbation[p], dose)

    def at(self, line: Lines, dose: Dose) -> Expression:
        """Value of a line at a dose; without doses it is one term, the change itself."""
        return line[:, 0] + torch.einsum("sd,sdg->sg", dose - self.centre, line[:, 1:])

    def estimate(self, x: Expression, change: Expression, direction: str) -> Expression:
        """Input plus ("n2p") or minus ("p2n") the change; not below 0 where the networks' output is not meant to be."""
        return (x + change if direction == "n2p" else x - change).clamp(min=self.floor)

    def forward(self, x_hat: Expression, estimate: Expression, direction: str) -> Expression:
        """(1 − α) · estimate + α · network."""
        return torch.lerp(estimate, x_hat, self.shares[0 if direction == "n2p" else 1])


class Generators(nn.Module):
    """Both directions; the same shape, no shared weights."""

    def __init__(self, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.n2p, self.p2n = Generator(sizes, config), Generator(sizes, config)
        self.blend = Blend(sizes, config) if config.blend == "additive" else None

    def __getitem__(self, direction: str) -> Generator:
        return self.n2p if direction == "n2p" else self.p2n


class Critics(nn.Module):
    """One critic for each state."""

    def __init__(self, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.control, self.perturbed = Critic(sizes, config), Critic(sizes, config)
