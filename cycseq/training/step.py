"""One optimisation step of section 2.6: loss terms of generators and critics, their gradients, two optimisers in turn.

The mathematics is that of the plain formulas; nothing is computed twice, and nothing is computed that no loss reads:

- The generators are trained through frozen critics; the critics' own step then reads the same fakes through the same
  weights, so the product of the fakes with the critics' first layer is kept.
- The gradient penalty needs the critics' first layer at a mix of a real and a generated sample; that layer is linear,
  so the mix of its two products is what it would give.
- Gradients are added up where they are made and their buffers are kept (`cycseq.layers`); Adam scales the gradients it
  reads, which clips them without another pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cycseq import losses
from cycseq.config import LossWeights, Precision, Stage, TrainConfig
from cycseq.data.loader import PairBatch
from cycseq.layers import Dropout, Linear, PReLU, collect_gradients
from cycseq.model import Critic, Critics, Expression, First, Generator, Generators, Translation

CLIP_EPSILON = 1e-6
"""Added to the gradient norm when clipping, as torch.nn.utils.clip_grad_norm_ does."""


class Fake(NamedTuple):
    """Generated samples, detached, and their product with the first layer of the critic that judged them."""

    x: Expression
    product: First


class Stepper:
    """Networks, trained in place, and optimisers of one stage: a step a batch, for the generators, then for the critics.

    `variance` is Var(x) of the training draws. `reduce` is called with a network pair's gradients between `backward` and
    clipping, to change them in place: where several processes train, it averages over them.
    """

    def __init__(
        self,
        generators: Generators,
        critics: Critics,
        config: TrainConfig,
        stage: Stage,
        variance: float,
        reduce: Callable[[list[Tensor]], None] | None = None,
    ) -> None:
        self.generators, self.critics, self.config, self.variance = generators, critics, config, variance
        self.adversarial = config.weights.adversarial > 0
        self.trained: tuple[nn.Module, ...] = (generators, critics) if self.adversarial else (generators,)
        self.optimizers = [_optimizer(net, stage) for net in self.trained]
        self.reduce = reduce
        for net in self.trained:
            collect_gradients(net, on=True)

    def step(self, batch: PairBatch) -> dict[str, Tensor]:
        """Take a step; returns the unweighted loss terms and the gradient norms before clipping, detached."""
        self.generators.train()
        self.critics.train()
        with low_precision(self.config.precision, batch.control.device):
            self.critics.requires_grad_(False)
            terms, fakes = generator_terms(self.generators, self.critics, batch, self.config, self.variance)
            total = generator_total(terms, self.config.weights)
        terms["gradient_norm.generators"] = self._descend(0, total)
        self.critics.requires_grad_(True)
        if self.adversarial:
            with low_precision(self.config.precision, batch.control.device):
                found = critic_terms(self.critics, batch, fakes, self.config)
                total = critic_total(found, self.config.weights)
            terms |= found
            terms["gradient_norm.critics"] = self._descend(1, total)
        return {name: term.detach() for name, term in terms.items()}

    def release(self) -> None:
        """Drop the gradient buffers: as much memory as the weights take. Call it when the stage is over."""
        for net in self.trained:
            collect_gradients(net, on=False)
            net.zero_grad(set_to_none=True)

    def _descend(self, index: int, total: Tensor) -> Tensor:
        optimizer = self.optimizers[index]
        optimizer.zero_grad(set_to_none=False)
        total.backward()
        gradients = [weight.grad for weight in self.trained[index].parameters() if weight.grad is not None]
        if self.reduce is not None:
            self.reduce(gradients)
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
        excess = ((norm + CLIP_EPSILON) / self.config.max_gradient_norm).clamp(min=1)
        if isinstance(optimizer, torch.optim.Adam):
            optimizer.grad_scale = excess.float()  # type: ignore[attr-defined]  # fused Adam divides gradients by it
        else:
            torch._foreach_div_(gradients, excess)
        optimizer.step()
        return norm


def low_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """Make a context in which matrix products run in the given precision."""
    on = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=on)


def generator_terms(
    generators: Generators, critics: Critics, batch: PairBatch, config: TrainConfig, variance: float
) -> tuple[dict[str, Tensor], list[Fake]]:
    """Compute the loss terms of both generators, both directions added, without their weights.

    Also returns the generated perturbed and control samples for the critics, none if the adversarial loss has no weight.
    """
    n2p, p2n = generators.n2p, generators.p2n
    to_p, to_n = (generator.condition(batch.p, batch.b, batch.dose) for generator in (n2p, p2n))
    made_p, made_n = _translate(n2p, batch.control, to_p), _translate(p2n, batch.perturbed, to_n)
    cycled_n, cycled_p = _translate(p2n, made_p.x_hat, to_n), _translate(n2p, made_n.x_hat, to_p)
    back = losses.reconstruction(batch.control, cycled_n.x_hat, variance)
    terms = {
        "cycle": back + losses.reconstruction(batch.perturbed, cycled_p.x_hat, variance),
        "kl": losses.kl(made_p.mu, made_p.log_variance).sum() + losses.kl(made_n.mu, made_n.log_variance).sum(),
    }
    labels = [p2n.labels(cycled_n.hidden), n2p.labels(cycled_p.hidden)]
    terms["perturbation"] = torch.stack([losses.label_cross_entropy(p, batch.p) for p, _ in labels]).sum()
    terms["batch"] = torch.stack([losses.label_cross_entropy(b, batch.b) for _, b in labels]).sum()
    if config.weights.paired > 0:
        there = losses.reconstruction(batch.perturbed, made_p.x_hat, variance)
        terms["paired"] = there + losses.reconstruction(batch.control, made_n.x_hat, variance)
    fakes = []
    if config.weights.adversarial > 0:
        terms["adversarial"] = torch.zeros((), device=batch.control.device)
        for critic, x in ((critics.perturbed, made_p.x_hat), (critics.control, made_n.x_hat)):
            product = critic.input.expression(x)
            score = critic.score(product + _from_condition(critic, batch))
            terms["adversarial"] = terms["adversarial"] + losses.adversarial_generator(score, config.adversarial)
            fakes.append(Fake(x.detach(), product.detach()))
    return terms, fakes


def generator_total(terms: Mapping[str, Tensor], weights: LossWeights) -> Float[Tensor, ""]:
    """Weigh and add the generators' loss terms (equation 1 of the paper)."""
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


def critic_terms(critics: Critics, batch: PairBatch, fakes: list[Fake], config: TrainConfig) -> dict[str, Tensor]:
    """Compute the loss of both critics, and the gradient penalty if it has a weight.

    `fakes` are as `generator_terms` made them, with the weights the critics still have.
    """
    sides = ((critics.perturbed, batch.perturbed), (critics.control, batch.control))
    found, penalties = [], []
    for (critic, real), fake in zip(sides, fakes, strict=True):
        layer, from_condition = critic.input.expression, _from_condition(critic, batch)
        h_real, h_fake = layer(real) + from_condition, layer(fake.x, fake.product) + from_condition
        found.append(losses.adversarial_critic(critic.score(h_real), critic.score(h_fake), config.adversarial))
        if config.weights.gradient_penalty > 0:
            mix = torch.rand(len(real), 1, dtype=real.dtype, device=real.device)
            gradient = score_gradient(critic, mix * h_real + (1 - mix) * h_fake)
            penalties.append(losses.gradient_penalty(gradient.to(real.dtype)))
    terms = {"critic": torch.stack(found).sum()}
    return terms | ({"gradient_penalty": torch.stack(penalties).sum()} if penalties else {})


def score_gradient(critic: Critic, h: First) -> Expression:
    """Differentiate each sample's score by its expression, from its first hidden vector h.

    The critic is piecewise linear, ∇_x = W_xᵀ D_1 W_2ᵀ D_2 … w with diagonal D_k (PReLU slope × dropout) that depend on
    h by their signs only. Written out, it is differentiable in all weights without differentiating twice.
    """
    linears: list[Linear] = []
    factors: list[Tensor] = []  # diagonals of D_1, D_2, …
    h = h.detach()
    for layer in (*critic.layers, critic.to_logit):
        if isinstance(layer, PReLU):
            factors.append(layer.slopes(h))
        elif isinstance(layer, Dropout):
            factors[-1] = factors[-1] * layer.mask(h)
        elif isinstance(layer, Linear):
            linears.append(layer)
            with torch.no_grad():
                h = layer(h * factors[-1])
    v = torch.ones_like(h)  # [sample, 1], of the score itself
    for linear, factor in zip(reversed(linears), reversed(factors), strict=True):
        v = linear.transposed(v) * factor
    return critic.input.expression.transposed(v)


def critic_total(terms: Mapping[str, Tensor], weights: LossWeights) -> Float[Tensor, ""]:
    """Weigh and add the critics' loss terms."""
    if "gradient_penalty" not in terms:
        return terms["critic"]
    return terms["critic"] + weights.gradient_penalty * terms["gradient_penalty"]


def _translate(generator: Generator, x: Tensor, condition: Tensor) -> Translation:
    noise = torch.randn(len(x), *generator.latent_shape, dtype=x.dtype, device=x.device)
    return generator(x, condition, noise)


def _from_condition(critic: Critic, batch: PairBatch) -> First:
    return critic.input.condition(critic.condition(batch.p, batch.b, batch.dose))


def _optimizer(net: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    if stage.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), lr=stage.learning_rate, betas=stage.betas, fused=True)
    return torch.optim.RMSprop(net.parameters(), lr=stage.learning_rate)
