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

SINGULAR = 1e-9
"""Below this share of its largest value a determinant is taken for 0: estimate and network say the same."""
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

    In each direction α is the network's part in the best mixture a · estimate + c · network of a condition's mean
    change, α = c / (a + c): least squares over conditions and genes with a, c ≥ 0, and 0 where neither is of use. It is
    not the least-squares α itself, which would take a network that predicts no change to shrink the estimate, whose
    size is already that of a best predictor.
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
        parts = [torch.stack([of[key] for key in expected]).flatten() for of in (expected, network, true)]
        blend.shares[place] = share(*(part.double() for part in (parts[0], parts[1], sign * parts[2])))


def share(estimate: Float[Tensor, " value"], network: Float[Tensor, " value"], truth: Float[Tensor, " value"]) -> float:
    """Return c / (a + c) of the least-squares a · estimate + c · network with a, c ≥ 0; 0 where both are 0."""
    ee, en, nn = (estimate @ estimate).item(), (estimate @ network).item(), (network @ network).item()
    et, nt = (estimate @ truth).item(), (network @ truth).item()
    determinant = ee * nn - en * en
    if determinant > SINGULAR * ee * nn:
        a, c = (nn * et - en * nt) / determinant, (ee * nt - en * et) / determinant
        if a >= 0 and c >= 0:
            return c / (a + c) if a + c > 0 else 0.0
    # one of them is 0 (or both are the same): the one that explains more alone, the estimate where they are level
    explained = [max(part, 0.0) ** 2 / size if size > 0 else 0.0 for part, size in ((et, ee), (nt, nn))]
    return 1.0 if explained[1] > explained[0] else 0.0


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
