"""Training: one loop that runs the pre-training and the fine-tuning stage alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cycseq import losses
from cycseq.config import LossWeights, Stage, TrainConfig
from cycseq.errors import TrainingError
from cycseq.model import Critic, Critics, Generator, Generators, Translation
from cycseq.sampling import PairBatch, PairLoader
from cycseq.validation import References, Report, evaluate, references

Reporter = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Epoch:
    """One epoch in the history; epoch 0 is the state before training."""

    number: int
    """Epoch, from 1; 0 before training."""
    losses: Mapping[str, float]
    """Mean of each unweighted loss term over the epoch; empty for epoch 0."""
    validation: Report
    """Validation errors and signs of collapse after the epoch."""
    seconds: float
    """Wall time since the stage began."""


@dataclass(frozen=True)
class History:
    """What happened in one stage."""

    stage: str
    """"pretrain" or "finetune"."""
    context: str | None
    """The context fine-tuned on; None for pre-training."""
    references: References
    """Trivial errors on the same validation draws."""
    epochs: tuple[Epoch, ...]
    """All epochs that ran, epoch 0 first."""
    best_epoch: int
    """Epoch whose weights were kept."""


@dataclass(frozen=True)
class Run:
    """Everything about a stage that is not data or weights."""

    config: TrainConfig
    stage: Stage
    seed: int
    """Seeds the order of the pairs, dropout and the latents' noise."""
    report: Reporter
    """Called once an epoch with (done, total, text)."""
    context: str | None = None
    """The context fine-tuned on; None for pre-training."""


def train_stage(
    generators: Generators, critics: Critics, train: PairLoader, validation: PairLoader, run: Run
) -> History:
    """Train the networks in place and leave the weights of the best validation error in the generators.

    Parameters
    ----------
    generators, critics
        Networks; the critics keep their last weights.
    train, validation
        Pseudo-pairs of disjoint cells.
    run
        Settings, seed and reporter.

    Raises
    ------
    TrainingError
        A loss or the validation error became NaN or infinite.
    """
    started, trivial = time.perf_counter(), references(train, validation)
    rng = np.random.default_rng(run.seed)
    epochs = [Epoch(0, {}, evaluate(generators, validation), 0.0)]
    best, best_epoch, best_weights = epochs[0].validation.errors.mean, 0, deepcopy(generators.state_dict())
    trainer = _Trainer(generators, critics, run, train.variance())
    with seeded(run.seed, train.device):
        for number in range(1, run.stage.epochs + 1):
            terms = trainer.epoch(train, rng, number)
            found = evaluate(generators, validation)
            _check_finite(found.errors.mean, "validation error", number, run.stage)
            epochs.append(Epoch(number, terms, found, time.perf_counter() - started))
            if found.errors.mean < best:
                best, best_epoch, best_weights = found.errors.mean, number, deepcopy(generators.state_dict())
            run.report(number, run.stage.epochs, _progress(run, found, trivial))
            if number - best_epoch >= run.stage.patience:
                break
    generators.load_state_dict(best_weights)
    return History(run.stage.name, run.context, trivial, tuple(epochs), best_epoch)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch's global generators inside a block, for weights and dropout; their state outside is not touched."""
    devices = [] if torch.device(device).type == "cpu" else [device]
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


class _Trainer:
    """Networks, optimisers and schedules of one stage."""

    def __init__(self, generators: Generators, critics: Critics, run: Run, variance: float) -> None:
        self.generators, self.critics, self.run, self.variance = generators, critics, run, variance
        trained: tuple[nn.Module, ...] = (generators, critics) if run.config.weights.adversarial > 0 else (generators,)
        self.optimizers = [_optimizer(net, run.stage) for net in trained]
        every = max(1, round(0.1 * run.stage.epochs))
        self.schedules = [
            torch.optim.lr_scheduler.StepLR(optimizer, every, run.config.decay) for optimizer in self.optimizers
        ]

    def epoch(self, train: PairLoader, rng: np.random.Generator, number: int) -> dict[str, float]:
        """Take one step a batch for the generators, then for the critics; return the mean of each loss term."""
        self.generators.train()
        self.critics.train()
        sums: dict[str, Tensor] = {}
        n_steps = 0
        for batch in train.epoch(self.run.stage.batch_size, rng):
            terms, fakes = self._generator_step(batch)
            if self.run.config.weights.adversarial > 0:
                terms |= self._critic_step(batch, fakes)
            sums = {name: sums.get(name, 0) + term.detach() for name, term in terms.items()}
            n_steps += 1
        for schedule in self.schedules:
            schedule.step()
        means = {name: (total / n_steps).item() for name, total in sums.items()}
        for name, value in means.items():
            _check_finite(value, f"loss '{name}'", number, self.run.stage)
        return means

    def _generator_step(self, batch: PairBatch) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        self.critics.requires_grad_(False)
        terms, fakes = generator_terms(self.generators, self.critics, batch, self.run.config, self.variance)
        self._step(0, self.generators, generator_total(terms, self.run.config.weights))
        self.critics.requires_grad_(True)
        return terms, fakes

    def _critic_step(self, batch: PairBatch, fakes: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        terms = critic_terms(self.critics, batch, fakes, self.run.config)
        weight = self.run.config.weights.gradient_penalty
        total = terms["critic"] + (weight * terms["gradient_penalty"] if weight else 0)
        self._step(1, self.critics, total)
        return terms

    def _step(self, index: int, net: nn.Module, total: Tensor) -> None:
        self.optimizers[index].zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), self.run.config.max_gradient_norm)
        self.optimizers[index].step()


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


def _check_finite(value: float, name: str, epoch: int, stage: Stage) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"The {name} is {value} in epoch {epoch} of stage '{stage.name}'; expected a finite "
            f"number. Lower the learning rate ({stage.learning_rate:g}) or check the scale of X."
        )


def _progress(run: Run, found: Report, trivial: References) -> str:
    where = f" {run.context}" if run.context else ""
    return (
        f"{run.stage.name}{where}: validation error n2p {found.errors.n2p:.4f} (copy {trivial.copy.n2p:.4f}), "
        f"p2n {found.errors.p2n:.4f} (copy {trivial.copy.p2n:.4f})"
    )
