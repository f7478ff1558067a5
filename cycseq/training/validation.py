"""Validation: translation errors, their trivial references, and signs of collapse."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cycseq.data.loader import CHUNK, PairBatch, PairLoader
from cycseq.model import Expression, Generator, Generators, Latent, Translation

DIRECTIONS = ("n2p", "p2n")
ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its mean varies by more than this between samples."""


@dataclass(frozen=True)
class Errors:
    """Mean squared error of translations, over draws and genes, in (log2 units)²."""

    n2p: float
    """Control draws translated to the perturbed state, against the perturbed draws of their pairs."""
    p2n: float
    """The reverse."""

    @property
    def mean(self) -> float:
        """Mean of both directions: what early stopping minimises."""
        return (self.n2p + self.p2n) / 2


@dataclass(frozen=True)
class References:
    """References on the same validation draws: errors of trivial models, and the spread of the data."""

    copy: Errors
    """The input itself."""
    mean_effect: Errors
    """The input plus (n2p) or minus (p2n) the mean change over all training pairs."""
    spread: float
    """Standard deviation, in log2 units, of perturbed draws between the perturbations of one batch, root mean square over
    genes; what draws of one condition differ by is taken off."""
    draw_spread: dict[str, float]
    """Standard deviation of the target's draws within a condition, by direction; NaN if each has a single draw."""


@dataclass(frozen=True)
class Report:
    """State of a model on the validation draws."""

    errors: Errors
    active: dict[str, float]
    """Posterior collapse: share of active dimensions of each latent, key "n2p.exp" …; 0 means collapsed."""
    spread: float
    """Mode collapse: standard deviation, in log2 units, of n2p predictions between perturbations of one batch from one
    and the same control profile, root mean square over genes; 0 means that all perturbations look alike."""
    draw_spread: dict[str, float]
    """The same of predictions from the draws of one condition, by direction; 0 means that the input is ignored, NaN that
    each condition has a single draw."""


class _DrawSpread:
    """Standard deviation within conditions, from the differences of draws that follow each other."""

    def __init__(self) -> None:
        self.squares: list[float] = []
        self.count = 0

    def add(self, x: Expression, same: Bool[Tensor, " step"]) -> None:
        """Add samples; `same` says whether samples i and i + 1 are of one condition."""
        self.squares.append((x[1:][same] - x[:-1][same]).square().sum().item())
        self.count += int(same.sum()) * x.shape[1]

    def value(self) -> float:
        """E (x_i − x_i+1)² is twice the variance."""
        return math.sqrt(_total(self.squares) / 2 / self.count) if self.count else math.nan


def references(train: PairLoader, validation: PairLoader) -> References:
    """Compute the errors of copying the input and of adding the mean training effect, and the spread of the data."""
    control, perturbed, _ = train.statistics
    shift, n_genes = perturbed - control, len(control)
    squares: dict[str, list[float]] = {"copy": [], "n2p": [], "p2n": [], "perturbed": []}
    n_batches = int(validation.source.b.max()) + 1
    sums = torch.zeros(n_batches, n_genes, dtype=torch.float64)
    draw = {direction: _DrawSpread() for direction in DIRECTIONS}
    for batch in validation.epoch(CHUNK):
        change = batch.perturbed - batch.control
        for name, difference in (("copy", change), ("n2p", change - shift), ("p2n", shift - change)):
            squares[name].append(difference.square().sum().item())
        for direction, spread in draw.items():
            spread.add(batch.sides(direction)[1], _same_condition(batch))
        values = batch.perturbed.cpu().double()
        squares["perturbed"].append(values.square().sum().item())
        sums.index_add_(0, batch.b.cpu(), values)
    count = len(validation) * n_genes
    copy, n2p, p2n, total = (_total(parts) / count for parts in squares.values())
    n_draws = torch.from_numpy(np.bincount(validation.source.b, minlength=n_batches)).clamp(min=1)
    around_batches = total - (sums.square().sum(dim=1) / n_draws).sum().item() / count
    within = {name: spread.value() for name, spread in draw.items()}
    noise = 0.0 if math.isnan(within["n2p"]) else within["n2p"] ** 2
    return References(Errors(copy, copy), Errors(n2p, p2n), math.sqrt(max(0.0, around_batches - noise)), within)


@torch.no_grad()
def evaluate(generators: Generators, validation: PairLoader) -> Report:
    """Translate all validation draws with latent means, in evaluation mode."""
    training, source = generators.training, validation.source
    generators.eval()
    squares: dict[str, list[float]] = {direction: [] for direction in DIRECTIONS}
    mus: dict[str, list[Tensor]] = {direction: [] for direction in DIRECTIONS}
    draw = {direction: _DrawSpread() for direction in DIRECTIONS}
    controls = torch.zeros(int(source.b.max()) + 1, source.n_genes, device=validation.device)
    for batch in validation.epoch(CHUNK):
        for direction in DIRECTIONS:
            out, (_, target) = translate_batch(generators, batch, direction), batch.sides(direction)
            squares[direction].append((out.x_hat - target).square().sum().item())
            mus[direction].append(out.mu)
            draw[direction].add(out.x_hat, _same_condition(batch))
        controls.index_add_(0, batch.b, batch.control)
    spread = _spread(generators.n2p, validation, controls)
    generators.train(training)
    errors = Errors(*(_total(parts) / (len(validation) * source.n_genes) for parts in squares.values()))
    active = {
        f"{direction}.{latent}": share.item()
        for direction, parts in mus.items()
        for latent, share in zip(generators.n2p.latents, _active(torch.cat(parts)), strict=True)
    }
    return Report(errors, active, spread, {direction: found.value() for direction, found in draw.items()})


def translate_batch(generators: Generators, batch: PairBatch, direction: str) -> Translation:
    """Translate the draws of a batch with latent means."""
    generator = generators[direction]
    return generator(batch.sides(direction)[0], generator.condition(batch.p, batch.b, batch.dose))


def _total(parts: list[float]) -> float:
    """Add up in float64, which not every device has.

    Numbers, not tensors: small tensors that are kept between large ones that are not would split up the heap, which then grows.
    """
    return torch.tensor(parts, dtype=torch.float64).sum().item()


def _same_condition(batch: PairBatch) -> Bool[Tensor, " step"]:
    same = (batch.p[1:] == batch.p[:-1]) & (batch.b[1:] == batch.b[:-1])
    return same & (batch.dose[1:] == batch.dose[:-1]).all(dim=1)


def _active(mu: Latent) -> Float[Tensor, " kind"]:
    return (mu.var(dim=0, correction=0) > ACTIVE_VARIANCE).float().mean(dim=1)


def _spread(n2p: Generator, validation: PairLoader, controls: Float[Tensor, "batch gene"]) -> float:
    """Translate the mean control draw of each batch under all of its conditions; `controls` are sums over pairs."""
    source, device = validation.source, validation.device
    keys = np.column_stack([source.b, source.p, source.dose])
    first = np.unique(keys, axis=0, return_index=True)[1]
    squares, count = [], 0
    for b in np.unique(source.b):
        profile = controls[b] / int((source.b == b).sum())
        own, made = first[source.b[first] == b], []
        for rows in np.array_split(own, -(-len(own) // CHUNK)):
            labels = (torch.from_numpy(part[rows]).to(device) for part in (source.p, source.b, source.dose))
            made.append(n2p(profile.expand(len(rows), -1), n2p.condition(*labels)).x_hat)
        predicted = torch.cat(made)
        squares.append((predicted - predicted.mean(dim=0)).square().sum().item())
        count += predicted.numel()
    return math.sqrt(_total(squares) / count)
