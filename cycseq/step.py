"""One optimisation step of section 2.6: loss terms of generators and critics, their gradients, two optimisers in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cycseq import losses
from cycseq.config import LossWeights, Stage, TrainConfig
from cycseq.model import Critic, Critics, Generator, Generators, Translation
from cycseq.sampling import PairBatch


class Stepper:
    """Networks and optimisers of one stage: takes a step a batch, for the generators, then for the critics.

    Parameters
    ----------
    generators, critics
        Networks, trained in place; the critics only where the adversarial loss has a weight.
    config, stage
        Settings; the stage names the optimiser and its learning rate.
    variance
        Var(x) of the training draws.
    reduce
        Called with the gradients before they are clipped, to average them over processes in place.
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
        self.reduce = reduce
        self.adversarial = config.weights.adversarial > 0
        trained: tuple[nn.Module, ...] = (generators, critics) if self.adversarial else (generators,)
        self.optimizers = [_optimizer(net, stage) for net in trained]

    def step(self, batch: PairBatch) -> dict[str, Tensor]:
        """Take one step for the generators, then one for the critics.

        Returns
        -------
        The unweighted loss terms and the gradient norms before clipping, detached.
        """
        self.generators.train()
        self.critics.train()
        terms, fakes = self._generator_step(batch)
        if self.adversarial:
            terms |= self._critic_step(batch, fakes)
        return {name: term.detach() for name, term in terms.items()}

    def _generator_step(self, batch: PairBatch) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        self.critics.requires_grad_(False)
        terms, fakes = generator_terms(self.generators, self.critics, batch, self.config, self.variance)
        norm = self._descend(0, self.generators, generator_total(terms, self.config.weights))
        terms["gradient_norm.generators"] = norm
        self.critics.requires_grad_(True)
        return terms, fakes

    def _critic_step(self, batch: PairBatch, fakes: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        terms = critic_terms(self.critics, batch, fakes, self.config)
        weight = self.config.weights.gradient_penalty
        total = terms["critic"] + (weight * terms["gradient_penalty"] if weight else 0)
        terms["gradient_norm.critics"] = self._descend(1, self.critics, total)
        return terms

    def _descend(self, index: int, net: nn.Module, total: Tensor) -> Tensor:
        self.optimizers[index].zero_grad(set_to_none=True)
        total.backward()
        if self.reduce:
            self.reduce([weight.grad for weight in net.parameters() if weight.grad is not None])
        norm = nn.utils.clip_grad_norm_(net.parameters(), self.config.max_gradient_norm)
        self.optimizers[index].step()
        return norm


def generator_terms(
    generators: Generators, critics: Critics, batch: PairBatch, config: TrainConfig, variance: float
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
    """Compute the loss terms of both generators, without their weights.

    Returns
    -------
    terms
        "adversarial", "cycle", "perturbation", "batch", "kl", and "paired" if it has a weight; both directions added.
    fakes
        Generated perturbed and control samples, detached, for the critics.
    """
    n2p, p2n = generators.n2p, generators.p2n
    made_p, made_n = _translate(n2p, batch.control, batch), _translate(p2n, batch.perturbed, batch)
    cycled_n, cycled_p = _translate(p2n, made_p.x_hat, batch), _translate(n2p, made_n.x_hat, batch)
    terms = {
        "cycle": losses.reconstruction(batch.control, cycled_n.x_hat, variance)
        + losses.reconstruction(batch.perturbed, cycled_p.x_hat, variance),
        "kl": losses.kl(made_p.mu, made_p.log_variance).sum() + losses.kl(made_n.mu, made_n.log_variance).sum(),
    }
    labels = [p2n.labels(cycled_n.hidden), n2p.labels(cycled_p.hidden)]
    terms["perturbation"] = sum((losses.label_cross_entropy(p, batch.p) for p, _ in labels), torch.zeros(()))
    terms["batch"] = sum((losses.label_cross_entropy(b, batch.b) for _, b in labels), torch.zeros(()))
    if config.weights.adversarial > 0:
        terms["adversarial"] = losses.adversarial_generator(
            _score(critics.perturbed, made_p.x_hat, batch), config.adversarial
        ) + losses.adversarial_generator(_score(critics.control, made_n.x_hat, batch), config.adversarial)
    if config.weights.paired > 0:
        terms["paired"] = losses.reconstruction(batch.perturbed, made_p.x_hat, variance) + losses.reconstruction(
            batch.control, made_n.x_hat, variance
        )
    return terms, (made_p.x_hat.detach(), made_n.x_hat.detach())


def generator_total(terms: Mapping[str, Tensor], weights: LossWeights) -> Float[Tensor, ""]:
    """Weigh and add the generators' loss terms (equation 1 of the paper)."""
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


def critic_terms(
    critics: Critics, batch: PairBatch, fakes: tuple[Tensor, Tensor], config: TrainConfig
) -> dict[str, Tensor]:
    """Compute the loss of both critics, and the gradient penalty if it has a weight."""
    sides = ((critics.perturbed, batch.perturbed, fakes[0]), (critics.control, batch.control, fakes[1]))
    total = [
        losses.adversarial_critic(_score(critic, real, batch), _score(critic, fake, batch), config.adversarial)
        for critic, real, fake in sides
    ]
    terms = {"critic": torch.stack(total).sum()}
    if config.weights.gradient_penalty > 0:
        penalties = []
        for critic, real, fake in sides:
            mix = torch.rand(len(real), 1, device=real.device)
            score = partial(_score, critic, batch=batch)
            penalties.append(losses.gradient_penalty(score, real, fake, mix))
        terms["gradient_penalty"] = torch.stack(penalties).sum()
    return terms


def _translate(generator: Generator, x: Tensor, batch: PairBatch) -> Translation:
    condition = generator.condition(batch.p, batch.b, batch.dose)
    noise = torch.randn(len(x), *generator.latent_shape, device=x.device)
    return generator(x, condition, noise)


def _score(critic: Critic, x: Tensor, batch: PairBatch) -> Float[Tensor, " sample"]:
    return critic(x, critic.condition(batch.p, batch.b, batch.dose))


def _optimizer(net: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    if stage.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), lr=stage.learning_rate, betas=stage.betas, fused=True)
    return torch.optim.RMSprop(net.parameters(), lr=stage.learning_rate)
