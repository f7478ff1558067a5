"""How much of the network to believe: its share α beside the additive estimate, in closed form, on validation cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cycseq.config import TrainConfig
from cycseq.effects import Effects, estimate
from cycseq.errors import ConfigError
from cycseq.loader import PairLoader
from cycseq.model import Blend, Generator, Generators
from cycseq.sampling import VALIDATION_DRAWS, PairBatch, conditions, hold_out, make_pairs
from cycseq.validation import CHUNK
from cycseq.vocabulary import Cells, Vocabulary

Key = tuple[int, int, float]


def halve(
    cells: Cells, held: Bool[np.ndarray, " cell"], rng: np.random.Generator
) -> tuple[Bool[np.ndarray, " cell"], Bool[np.ndarray, " cell"]]:
    """Divide validation cells, condition by condition, into inputs and references that share no cell.

    A condition of one cell is in both.
    """
    first, second = np.zeros_like(held), np.zeros_like(held)
    for group in conditions(cells, held):
        own = rng.permutation(group.members)
        first[own[: max(1, len(own) // 2)]] = True
        second[own[len(own) // 2 :]] = True
    return first, second


def choose(generators: Generators, cells: Cells, vocabulary: Vocabulary, config: TrainConfig, seed: int) -> None:
    """Fill the blend of pre-trained generators, from the cells they were trained and validated on.

    The shares are chosen with the estimate of the training cells; then the estimate is made anew of all cells, for a
    network cannot use the validation cells, and the estimate can.
    """
    if generators.blend is None:
        raise ConfigError("These generators have no blend; expected ModelConfig(blend='additive').")
    held = hold_out(cells, vocabulary, config, seed)
    rng = np.random.default_rng([seed, len(cells.batch)])
    few = replace(config, draws_per_condition=VALIDATION_DRAWS)
    device = str(generators.blend.batch.device)
    loaders = [PairLoader(make_pairs(cells, vocabulary, half, few, rng), device) for half in halve(cells, held, rng)]
    training = generators.training
    generators.eval()
    fit(generators.blend, generators, estimate(cells, vocabulary, ~held), *loaders)
    generators.blend.take(estimate(cells, vocabulary, np.ones_like(held)))
    generators.train(training)


@torch.no_grad()
def fit(blend: Blend, generators: Generators, effects: Effects, inputs: PairLoader, references: PairLoader) -> None:
    """Fill a blend: take the estimate over, and choose the network's shares.

    In each direction α is the least-squares factor, over conditions and genes, of (network − estimate) in
    (truth − estimate), where each is a condition's mean change, cut to [0, 1]; 1 where network and estimate agree.
    The true change is measured between references, the predicted ones from inputs: they share no cell, so that nothing
    is gained by predicting the sampling noise of the input away.

    Parameters
    ----------
    blend
        Changed in place.
    generators
        Trained networks, in evaluation mode.
    effects
        Estimate from training cells alone.
    inputs, references
        Pseudo-pairs of the same conditions, made of the halves of `halve`.
    """
    blend.take(effects)
    true = _means(references, lambda batch: batch.perturbed - batch.control)
    for place, (direction, sign) in enumerate((("n2p", 1.0), ("p2n", -1.0))):
        expected = _means(inputs, partial(_estimated, blend, direction))
        network = _means(inputs, partial(_translated, generators, direction))
        wanted = torch.stack([sign * true[key] - expected[key] for key in expected])
        offered = torch.stack([network[key] - expected[key] for key in expected])
        size = offered.square().sum().item()
        blend.shares[place] = min(max((wanted * offered).sum().item() / size, 0.0), 1.0) if size > 0 else 1.0


def _estimated(blend: Blend, direction: str, batch: PairBatch) -> Float[Tensor, "pair gene"]:
    x = batch.control if direction == "n2p" else batch.perturbed
    return blend.estimate(x, blend.change(batch.p, batch.b), direction) - x


def _translated(generators: Generators, direction: str, batch: PairBatch) -> Float[Tensor, "pair gene"]:
    x = batch.control if direction == "n2p" else batch.perturbed
    generator: Generator = getattr(generators, direction)
    return generator(x, generator.condition(batch.p, batch.b, batch.dose)).x_hat - x


def _means(loader: PairLoader, of: Callable[[PairBatch], Tensor]) -> dict[Key, Float[Tensor, " gene"]]:
    """Mean over the draws of each (batch, perturbation, dose)."""
    sums: dict[Key, Tensor] = {}
    counts: dict[Key, int] = {}
    for batch in loader.epoch(CHUNK):
        doses = batch.dose.sum(dim=1).tolist()
        for key, row in zip(zip(batch.b.tolist(), batch.p.tolist(), doses, strict=True), of(batch), strict=True):
            sums[key] = sums[key] + row if key in sums else row
            counts[key] = counts.get(key, 0) + 1
    return {key: total / counts[key] for key, total in sums.items()}
