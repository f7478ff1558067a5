"""Pre-training from cells: once, or once per fold of held-out conditions and then with all of them.

With one fold the weights of the best validation error are kept. With more, the held-out conditions of all folds decide the
number of epochs and the network's share in the blend, for a last training with every condition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from cycseq.data.loader import PairLoader
from cycseq.data.sampling import hold_out, split_cells, training_pairs
from cycseq.data.vocabulary import Cells, Vocabulary
from cycseq.model import Critics, Generators
from cycseq.training import blend
from cycseq.training.additive_effects import estimate
from cycseq.training.history import History
from cycseq.training.loop import Run, train_stage

Build = Callable[[], tuple[Generators, Critics]]
"""Makes untrained networks, always the same."""


def pretrain(
    cells: Cells, vocabulary: Vocabulary, build: Build, run: Run, device: str
) -> tuple[tuple[Generators, Critics], list[History]]:
    """Train the networks that `build` makes, on cells of which some are chosen for validation.

    With several folds each has its own state file, "STATE.fold1" …, and its own folder in the log.

    Returns
    -------
    networks, histories
        Networks of the last training; histories of each fold, if there are several, then of the last training.

    Raises
    ------
    DataError, TrainingError, CheckpointError
        As `train_stage` and `training_pairs`.
    """
    config, held = run.config, hold_out(cells, vocabulary, run.config, run.seed)

    def train(fold: Bool[np.ndarray, " cell"], how: Run) -> tuple[tuple[Generators, Critics], History]:
        pairs = training_pairs(cells, vocabulary, fold, config, run.seed)
        networks = build()
        return networks, train_once(networks, PairLoader(pairs[0], device), PairLoader(pairs[1], device), how)

    histories, evidence = [], []
    for number, fold in enumerate(held):
        networks, history = train(fold, _of_fold(run, number, len(held)) if len(held) > 1 else run)
        histories.append(history)
        if networks[0].blend is not None:
            evidence.append(blend.measure(networks[0], cells, vocabulary, fold, config))
    if len(held) > 1:
        # as many epochs as the folds took: there is no held-out condition left to choose weights on
        epochs = round(float(np.mean([history.best_epoch for history in histories])))
        few = split_cells(cells, vocabulary, config.validation_share, run.seed)
        networks, history = train(few, replace(_reporting(run, len(held), len(held)), until=epochs))
        histories.append(history)
    if networks[0].blend is not None:
        every = np.ones(len(cells.batch), dtype=bool)
        blend.decide(networks[0], evidence, estimate(cells, vocabulary, every))
    return networks, histories


def train_once(networks: tuple[Generators, Critics], train: PairLoader, validation: PairLoader, run: Run) -> History:
    """Train new networks; decoders start at the mean profiles of the training draws, unless the model says otherwise."""
    generators, critics = networks
    if run.config.model.start == "mean":
        control, perturbed = train.means()
        generators.n2p.start_at(perturbed)
        generators.p2n.start_at(control)
    return train_stage(generators, critics, train, validation, run)


def _of_fold(run: Run, number: int, folds: int) -> Run:
    """Name the training of a fold and its files."""
    name = f"fold{number + 1}"
    return replace(
        _reporting(run, number, folds),
        stage=replace(run.stage, name=f"{run.stage.name} {name}"),
        state=run.state and Path(f"{run.state}.{name}"),
        log=run.log and run.log / name,
    )


def _reporting(run: Run, number: int, folds: int) -> Run:
    """Report as one of `folds` + 1 trainings, `number` of which are done."""
    most = run.stage.epochs

    def report(done: int, total: int, text: str) -> None:
        run.report(number * most + done, (folds + 1) * most, text)

    return replace(run, report=report)
