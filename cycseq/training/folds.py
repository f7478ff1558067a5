"""Pre-training from cells: once, or once per fold of held-out conditions and then with all of them.

With one fold the weights of the best validation error are kept. With more, the held-out conditions of all folds decide the
number of epochs and the network's share α beside the additive estimate, for a last training with every condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cycseq.config import TrainConfig
from cycseq.data.draw_store import served
from cycseq.data.loader import CHUNK, PairBatch, PairLoader
from cycseq.data.sampling import VALIDATION_DRAWS, Mask, group_cells, hold_out, make_pairs, split_cells, training_pairs
from cycseq.data.vocabulary import Cells, Vocabulary
from cycseq.model import Blend, Critics, Effects, Generators
from cycseq.training.additive_effects import estimate
from cycseq.training.history import History
from cycseq.training.loop import Run, train_stage
from cycseq.training.validation import DIRECTIONS, translate_batch

SINGULAR = 1e-9
"""Below this share of its largest value a determinant is taken for 0: estimate and network say the same."""
Networks = tuple[Generators, Critics]
Values = Float[Tensor, " value"]


def pretrain(
    cells: Cells, vocabulary: Vocabulary, build: Callable[[], Networks], run: Run, device: str
) -> tuple[Networks, list[History]]:
    """Train networks made by `build`, always the same, on cells of which some are chosen for validation.

    With several folds each has its own state file, "STATE.fold1" …, and its own folder in the log. Returns the networks of
    the last training, and the histories of each fold, if there are several, then of the last training.
    """
    config, held = run.config, hold_out(cells, vocabulary, run.config, run.seed)

    def train(fold: Mask, how: Run) -> tuple[Networks, History]:
        pairs = training_pairs(cells, vocabulary, fold, config, run.seed)
        networks = build()
        with served(vocabulary, pairs, (config, run.seed), device, run.scratch) as loaders:
            return networks, train_once(networks, *loaders, how)

    histories, evidence = [], []
    for number, fold in enumerate(held):
        networks, history = train(fold, _part(run, number, len(held)) if len(held) > 1 else run)
        histories.append(history)
        if mix := networks[0].blend:
            evidence.append(measure(networks[0], mix, cells, vocabulary, fold, config))
    if len(held) > 1:
        # as many epochs as the folds took: there is no held-out condition left to choose weights on
        epochs = round(float(np.mean([history.best_epoch for history in histories])))
        few = split_cells(cells, vocabulary, config.validation_share, run.seed)
        networks, history = train(few, replace(_part(run, len(held), len(held)), until=epochs))
        histories.append(history)
    if mix := networks[0].blend:
        decide(mix, evidence, estimate(cells, vocabulary, np.ones(len(cells.batch), dtype=bool)))
    return networks, histories


def train_once(networks: Networks, train: PairLoader, validation: PairLoader, run: Run) -> History:
    """Train new networks; decoders start at the mean profiles of the training draws, unless the model says otherwise."""
    if run.config.model.start == "mean":
        networks[0].n2p.start_at(train.statistics.perturbed)
        networks[0].p2n.start_at(train.statistics.control)
    return train_stage(*networks, train, validation, run)


def _part(run: Run, number: int, folds: int) -> Run:
    """One of `folds` + 1 trainings, and the files of a fold."""
    most, name = run.stage.epochs, f"fold{number + 1}"

    def report(done: int, total: int, text: str) -> None:
        run.report(number * most + done, (folds + 1) * most, text)

    if number == folds:
        return replace(run, report=report)
    stage, state = replace(run.stage, name=f"{run.stage.name} {name}"), run.state and Path(f"{run.state}.{name}")
    return replace(run, report=report, stage=stage, state=state, log=run.log and run.log / name)


class Evidence(NamedTuple):
    """Changes of the held-out conditions in one direction, all genes of all conditions in one vector, log2 units."""

    estimate: Values
    """As the additive estimate has them, made without the held-out cells."""
    network: Values
    """As the network has them, trained without the held-out cells."""
    truth: Values
    """As measured."""


def halve(cells: Cells, held: Mask, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Divide validation cells, condition by condition, into inputs and references that share no cell.

    A condition of one cell is in both.
    """
    first, second = np.zeros_like(held), np.zeros_like(held)
    for group in group_cells(cells, held):
        own = rng.permutation(group.members)
        first[own[: max(1, len(own) // 2)]] = True
        second[own[len(own) // 2 :]] = True
    return first, second


def measure(
    generators: Generators, blend: Blend, cells: Cells, vocabulary: Vocabulary, held: Mask, config: TrainConfig
) -> dict[str, Evidence]:
    """Compare the estimate and trained networks with the validation cells of their training, by direction.

    Inputs and references are halves of the validation cells that share no cell (`halve`), so that nothing is gained by
    predicting the sampling noise of the input away.
    """
    rng = np.random.default_rng([int(held.sum()), len(held)])
    few = replace(config, draws_per_condition=VALIDATION_DRAWS)
    device = str(blend.batch.device)
    loaders = [PairLoader(make_pairs(cells, vocabulary, half, few, rng), device) for half in halve(cells, held, rng)]
    blend.take(estimate(cells, vocabulary, ~held))
    return compare(generators, blend, *loaders)


@torch.no_grad()
def compare(generators: Generators, blend: Blend, inputs: PairLoader, references: PairLoader) -> dict[str, Evidence]:
    """Compute the change of each condition by estimate and network from the inputs, and the true one of the references."""
    training = generators.training
    generators.eval()

    def estimated(batch: PairBatch, direction: str) -> Tensor:
        x, _ = batch.sides(direction)
        return blend.estimate(x, blend.change(batch.p, batch.b, batch.dose), direction) - x

    def translated(batch: PairBatch, direction: str) -> Tensor:
        return translate_batch(generators, batch, direction).x_hat - batch.sides(direction)[0]

    true, found = _means(references, lambda batch, _: batch.perturbed - batch.control, "n2p"), {}
    for direction, sign in zip(DIRECTIONS, (1.0, -1.0), strict=True):
        expected, network = _means(inputs, estimated, direction), _means(inputs, translated, direction)
        parts = [torch.stack([of[key] for key in expected]).flatten().double() for of in (expected, network, true)]
        found[direction] = Evidence(parts[0], parts[1], sign * parts[2])
    generators.train(training)
    return found


def decide(blend: Blend, found: Sequence[Mapping[str, Evidence]], effects: Effects) -> None:
    """Fill a blend: take the estimate over, and choose the network's shares by the evidence of all folds.

    In each direction α is the network's part in the best mixture a · estimate + c · network of a condition's mean
    change, α = c / (a + c): least squares over conditions and genes with a, c ≥ 0, and 0 where neither is of use. It is
    not the least-squares α itself, which would take a network that predicts no change to shrink the estimate, whose
    size is already that of a best predictor. `effects` are estimated from all cells: a network cannot use the validation
    cells, and the estimate can.
    """
    blend.take(effects)
    for place, direction in enumerate(DIRECTIONS):
        parts = zip(*(fold[direction] for fold in found), strict=True)
        blend.shares[place] = share(*(torch.cat(part) for part in parts))


def share(estimate: Values, network: Values, truth: Values) -> float:
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


def _means(
    loader: PairLoader, of: Callable[[PairBatch, str], Tensor], direction: str
) -> dict[tuple[int, int, float], Tensor]:
    """Mean over the draws of each (batch, perturbation, dose)."""
    found: dict[tuple[int, int, float], tuple[Tensor | float, int]] = {}
    for batch in loader.epoch(CHUNK):
        keys = zip(batch.b.tolist(), batch.p.tolist(), batch.dose.sum(dim=1).tolist(), strict=True)
        for key, row in zip(keys, of(batch, direction), strict=True):
            total, count = found.get(key, (0.0, 0))
            found[key] = total + row, count + 1
    return {key: total / count for key, (total, count) in found.items()}  # type: ignore[misc]
