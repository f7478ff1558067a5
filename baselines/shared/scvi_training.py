"""Parts shared by the models on scvi-tools: training cells, silent training with progress, stored weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from baselines.shared.global_seed import Report, seeded_and_quiet
from benchmarks.contract import Train, no_report

TRAINING_SHARE = 0.9
LOGGERS = ("lightning.pytorch", "lightning.fabric", "scvi", "scgen", "biolord")


def training_and_validation_cells(n_cells: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Draw positions of nine tenths to train on and of the rest to validate on.

    scvi's own draw comes from the operating system unless its global seed is set. A last batch of one cell, which
    batch normalisation refuses, is put to the validation cells.
    """
    order = np.random.default_rng(seed).permutation(n_cells)
    n_train = int(np.ceil(TRAINING_SHARE * n_cells))
    n_train -= n_train % batch_size == 1
    return [order[:n_train], order[n_train:]]


def training_arguments(train: Train, report: Report, epochs: int, monitor: str) -> dict[str, Any]:
    """Arguments of `model.train` for length, device and folder; `report` gets the monitored value of each epoch."""
    from lightning.pytorch.callbacks import LambdaCallback

    def on_train_epoch_end(trainer: Any, module: Any) -> None:
        value = float(trainer.callback_metrics.get(monitor, np.nan))
        report(trainer.current_epoch + 1, epochs, f"{monitor.replace('_', ' ')} {value:.4g}")

    kind, _, index = train.device.partition(":")
    return {
        "max_epochs": epochs,
        "default_root_dir": str(train.workdir),
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "callbacks": [LambdaCallback(on_train_epoch_end=on_train_epoch_end)],
        "accelerator": "gpu" if kind == "cuda" else kind,
        "devices": 1 if kind == "cpu" else [int(index or 0)],
    }


@contextmanager
def quiet_training(seed: int = 0, report: Report = no_report) -> Iterator[Report]:
    """As `seeded_and_quiet`, and the loggers of the packages pass errors only."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with seeded_and_quiet(seed, report) as report_outside:
            yield report_outside
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def save_weights(module: Any, folder: Path) -> None:
    """Write a network's weights."""
    import torch

    torch.save(module.state_dict(), folder / "weights.pt")


def read_weights(folder: Path) -> dict[str, Any]:
    """Read the weights that `save_weights` wrote, for the CPU."""
    import torch

    weights: dict[str, Any] = torch.load(folder / "weights.pt", map_location="cpu", weights_only=True)
    return weights
