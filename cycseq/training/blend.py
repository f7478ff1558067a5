"""How much of the network to believe: its share α beside the additive estimate, in closed form, on held-out cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cycseq.config import TrainConfig
from cycseq.data.loader import CHUNK, PairLoader
from cycseq.data.sampling import VALIDATION_DRAWS, PairBatch, group_cells, make_pairs
from cycseq.data.vocabulary import Cells, Vocabulary
from cycseq.errors import ConfigError
from cycseq.model import Blend, Effects, Generator, Generators
from cycseq.training.additive_effects import estimate

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
    for group in group_cells(cells, held):
        own = rng.permutation(group.members)
        first[own[: max(1, len(own) // 2)]] = True
        second[own[len(own) // 2 :]] = True
    return first, second


class Evidence(NamedTuple):
    """Changes of the held-out conditions in one direction, all genes of all conditions in one vector, log2 units."""

    estimate: Float[Tensor, " value"]
    """As the additive estimate has them, made without the held-out cells."""
    network: Float[Tensor, " value"]
    """As the network has them, trained without the held-out cells."""
    truth: Float[Tensor, " value"]
    """As measured."""


def measure(
    generators: Generators, cells: Cells, vocabulary: Vocabulary, held: Bool[np.ndarray, " cell"], config: TrainConfig
) -> dict[str, Evidence]:
    """Hold the estimate and trained networks against the validation cells of their training, by direction.

    Inputs and references are halves of the validation cells that share no cell (`halve`), so that nothing is gained by
    predicting the sampling noise of the input away.
    """
    rng = np.random.default_rng([int(held.sum()), len(held)])
    few = replace(config, draws_per_condition=VALIDATION_DRAWS)
    device = str(next(generators.parameters()).device)
    loaders = [PairLoader(make_pairs(cells, vocabulary, half, few, rng), device) for half in halve(cells, held, rng)]
    return compare(generators, estimate(cells, vocabulary, ~held), *loaders)


@torch.no_grad()
def compare(
    generators: Generators, effects: Effects, inputs: PairLoader, references: PairLoader
) -> dict[str, Evidence]:
    """Compute the change of each condition by estimate and network from the inputs, and the true one of the references.

    Parameters
    ----------
    generators
        Trained networks with a blend, which takes the estimate over.
    effects
        Estimate from training cells alone.
    inputs, references
        Pseudo-pairs of the same conditions.
    """
    blend = _blend(generators)
    blend.take(effects)
    training = generators.training
    generators.eval()
    true, found = _means(references, lambda batch: batch.perturbed - batch.control), {}
    for direction, sign in (("n2p", 1.0), ("p2n", -1.0)):
        expected = _means(inputs, partial(_estimated, blend, direction))
        network = _means(inputs, partial(_translated, generators, direction))
        parts = [torch.stack([of[key] for key in expected]).flatten().double() for of in (expected, network, true)]
        found[direction] = Evidence(parts[0], parts[1], sign * parts[2])
    generators.train(training)
    return found


def decide(generators: Generators, found: Sequence[Mapping[str, Evidence]], effects: Effects) -> None:
    """Fill a blend: take the estimate over, and choose the network's shares by the evidence of all folds.

    In each direction α is the network's part in the best mixture a · estimate + c · network of a condition's mean
    change, α = c / (a + c): least squares over conditions and genes with a, c ≥ 0, and 0 where neither is of use. It is
    not the least-squares α itself, which would take a network that predicts no change to shrink the estimate, whose
    size is already that of a best predictor.

    Parameters
    ----------
    generators
        Their blend is changed in place.
    found
        What `measure` found in each fold.
    effects
        Estimate to predict with: from all cells, for a network cannot use the validation cells, and the estimate can.
    """
    blend = _blend(generators)
    blend.take(effects)
    for place, direction in enumerate(("n2p", "p2n")):
        parts = zip(*(fold[direction] for fold in found), strict=True)
        blend.shares[place] = share(*(torch.cat(part) for part in parts))


def _blend(generators: Generators) -> Blend:
    if generators.blend is None:
        raise ConfigError("These generators have no blend; expected ModelConfig(blend='additive').")
    return generators.blend


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
    return blend.estimate(x, blend.change(batch.p, batch.b, batch.dose), direction) - x


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
