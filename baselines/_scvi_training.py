"""What models on scvi-tools share: which cells train, on what device, in silence, with progress."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from baselines._global_seed import Report

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


def progress(report: Report, epochs: int, monitor: str) -> Any:
    """A Lightning callback that reports each epoch and the value that is monitored."""
    from lightning.pytorch.callbacks import LambdaCallback

    def on_train_epoch_end(trainer: Any, module: Any) -> None:
        value = float(trainer.callback_metrics.get(monitor, np.nan))
        report(trainer.current_epoch + 1, epochs, f"{monitor.replace('_', ' ')} {value:.4g}")

    return LambdaCallback(on_train_epoch_end=on_train_epoch_end)


def accelerator(device: str) -> dict[str, Any]:
    """Lightning's names for a Torch device."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return {"accelerator": "cpu", "devices": 1}
    return {"accelerator": "gpu" if kind == "cuda" else kind, "devices": [int(index or 0)]}


@contextmanager
def quiet_loggers() -> Iterator[None]:
    """Let the loggers of the packages pass errors only."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
