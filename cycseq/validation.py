"""What validation draws say of a model: translation errors, their trivial references, and signs of collapse."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cycseq.model import Generators
from cycseq.sampling import PairBatch, PairLoader

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its mean varies by more than this between samples."""
CHUNK = 1024
"""Samples translated at a time outside training."""


@dataclass(frozen=True)
class Errors:
    """Mean squared error of translations, over draws and genes, in (log2 units)²."""

    n2p: float
    """Control draws translated to the perturbed state, against the perturbed draws of their pairs."""
    p2n: float
    """Perturbed draws translated to the control state, against the control draws of their pairs."""

    @property
    def mean(self) -> float:
        """Mean of both directions: what early stopping minimises."""
        return (self.n2p + self.p2n) / 2


@dataclass(frozen=True)
class References:
    """Errors a model must beat on the same validation draws."""

    copy: Errors
    """The input itself."""
    mean_effect: Errors
    """The input plus (n2p) or minus (p2n) the mean change over all training pairs."""


@dataclass(frozen=True)
class Report:
    """State of a model on the validation draws."""

    errors: Errors
    """Translation errors."""
    active: dict[str, float]
    """Posterior collapse: share of active dimensions of each latent, key "n2p.exp" …; 0 means collapsed."""
    spread: float
    """Mode collapse: standard deviation, in log2 units, of n2p predictions between perturbations of one batch from one
    and the same control profile, root mean square over genes; 0 means that all perturbations look alike."""


def references(train: PairLoader, validation: PairLoader) -> References:
    """Compute the errors of copying the input and of adding the mean training effect."""
    control, perturbed = train.means()
    shift = perturbed - control
    copy, n2p, p2n, count = 0.0, 0.0, 0.0, 0
    for batch in validation.epoch(CHUNK):
        change = batch.perturbed - batch.control
        copy += change.square().sum().item()
        n2p += (change - shift).square().sum().item()
        p2n += (shift - change).square().sum().item()
        count += change.numel()
    return References(Errors(copy / count, copy / count), Errors(n2p / count, p2n / count))


@torch.no_grad()
def evaluate(generators: Generators, validation: PairLoader) -> Report:
    """Translate all validation draws with latent means, in evaluation mode."""
    training = generators.training
    generators.eval()
    squares, count = {"n2p": 0.0, "p2n": 0.0}, 0
    mus: dict[str, list[Tensor]] = {"n2p": [], "p2n": []}
    for batch in validation.epoch(CHUNK):
        for name, source, target in (("n2p", batch.control, batch.perturbed), ("p2n", batch.perturbed, batch.control)):
            generator = getattr(generators, name)
            out = generator(source, generator.condition(batch.p, batch.b, batch.dose))
            squares[name] += (out.x_hat - target).square().sum().item()
            mus[name].append(out.mu)
        count += batch.control.numel()
    spread = _spread(generators, validation)
    generators.train(training)
    return Report(Errors(squares["n2p"] / count, squares["p2n"] / count), _active(mus, generators.n2p.latents), spread)


def _active(mus: dict[str, list[Tensor]], latents: tuple[str, ...]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for name, parts in mus.items():
        active = (torch.cat(parts).var(dim=0, correction=0) > ACTIVE_VARIANCE).double().mean(dim=1)  # [kind]
        shares |= {f"{name}.{latent}": active[index].item() for index, latent in enumerate(latents)}
    return shares


def _spread(generators: Generators, validation: PairLoader) -> float:
    batches = list(validation.epoch(CHUNK))
    joined = PairBatch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    keys = torch.cat([joined.b[:, None].double(), joined.p[:, None].double(), joined.dose.double()], dim=1)
    _, of_pair = torch.unique(keys, dim=0, return_inverse=True)
    first = torch.full((int(of_pair.max()) + 1,), len(of_pair), device=of_pair.device)
    first = first.scatter_reduce(0, of_pair, torch.arange(len(of_pair), device=of_pair.device), "amin")
    x = _batch_means(joined.control, joined.b)[first]  # [condition, gene]
    b = joined.b[first]
    made = [
        generators.n2p(x[rows], generators.n2p.condition(joined.p[first][rows], b[rows], joined.dose[first][rows]))
        for rows in torch.arange(len(first), device=b.device).split(CHUNK)
    ]
    predicted = torch.cat([part.x_hat for part in made])
    within = predicted - _batch_means(predicted, b)
    return within.square().mean().sqrt().item()


def _batch_means(x: Float[Tensor, "sample gene"], b: Int[Tensor, " sample"]) -> Float[Tensor, "sample gene"]:
    same: Bool[Tensor, "sample sample"] = b[:, None] == b[None, :]
    return same.to(x) / same.sum(dim=1, keepdim=True) @ x
