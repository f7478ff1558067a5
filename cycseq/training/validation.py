"""Validation: translation errors, their trivial references, and signs of collapse."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cycseq.data.loader import CHUNK, PairLoader
from cycseq.data.sampling import PairBatch
from cycseq.model import Generator, Generators

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its mean varies by more than this between samples."""


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
    """Translation errors."""
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
        self.squares: list[Tensor] = []
        self.count = 0

    def add(self, x: Float[Tensor, "sample gene"], same: Bool[Tensor, " step"]) -> None:
        """Add samples; `same` says whether samples i and i + 1 are of one condition."""
        self.squares.append((x[1:][same] - x[:-1][same]).square().sum())
        self.count += int(same.sum()) * x.shape[1]

    def value(self) -> float:
        """E (x_i − x_i+1)² is twice the variance."""
        return math.sqrt(_total(self.squares) / 2 / self.count) if self.count else math.nan


def references(train: PairLoader, validation: PairLoader) -> References:
    """Compute the errors of copying the input and of adding the mean training effect, and the spread of the data."""
    control, perturbed = train.means()
    shift, n_genes = perturbed - control, len(control)
    squares: dict[str, list[Tensor]] = {"copy": [], "n2p": [], "p2n": [], "perturbed": []}
    n_batches = int(validation.source.b.max()) + 1
    sums, draw = torch.zeros(n_batches, n_genes, dtype=torch.float64), {"n2p": _DrawSpread(), "p2n": _DrawSpread()}
    for batch in validation.epoch(CHUNK):
        change = batch.perturbed - batch.control
        for name, difference in (("copy", change), ("n2p", change - shift), ("p2n", shift - change)):
            squares[name].append(difference.square().sum())
        same = _same_condition(batch)
        draw["n2p"].add(batch.perturbed, same)
        draw["p2n"].add(batch.control, same)
        values = batch.perturbed.cpu().double()
        squares["perturbed"].append(values.square().sum())
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
    training = generators.training
    generators.eval()
    squares: dict[str, list[Tensor]] = {"n2p": [], "p2n": []}
    mus: dict[str, list[Tensor]] = {"n2p": [], "p2n": []}
    draw = {"n2p": _DrawSpread(), "p2n": _DrawSpread()}
    n_batches = int(validation.source.b.max()) + 1
    controls = torch.zeros(n_batches, validation.source.n_genes, device=validation.device)
    for batch in validation.epoch(CHUNK):
        same = _same_condition(batch)
        for name, source, target in (("n2p", batch.control, batch.perturbed), ("p2n", batch.perturbed, batch.control)):
            generator = getattr(generators, name)
            out = generator(source, generator.condition(batch.p, batch.b, batch.dose))
            squares[name].append((out.x_hat - target).square().sum())
            mus[name].append(out.mu)
            draw[name].add(out.x_hat, same)
        controls.index_add_(0, batch.b, batch.control)
    spread = _spread(generators.n2p, validation, controls)
    generators.train(training)
    count = len(validation) * validation.source.n_genes
    errors = Errors(_total(squares["n2p"]) / count, _total(squares["p2n"]) / count)
    return Report(
        errors, _active(mus, generators.n2p.latents), spread, {name: found.value() for name, found in draw.items()}
    )


def _total(parts: list[Tensor]) -> float:
    """Add up on the CPU in float64, which not every device has."""
    return torch.stack(parts).cpu().double().sum().item()


def _same_condition(batch: PairBatch) -> Bool[Tensor, " step"]:
    same = (batch.p[1:] == batch.p[:-1]) & (batch.b[1:] == batch.b[:-1])
    return same & (batch.dose[1:] == batch.dose[:-1]).all(dim=1)


def _active(mus: dict[str, list[Tensor]], latents: tuple[str, ...]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for name, parts in mus.items():
        active = (torch.cat(parts).var(dim=0, correction=0) > ACTIVE_VARIANCE).float().mean(dim=1)  # [kind]
        shares |= {f"{name}.{latent}": active[index].item() for index, latent in enumerate(latents)}
    return shares


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
        squares.append((predicted - predicted.mean(dim=0)).square().sum())
        count += predicted.numel()
    return math.sqrt(_total(squares) / count)
