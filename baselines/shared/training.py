"""Training of networks by packages that print, warn and use the global random generators; and parts for those on scvi-tools."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np

from benchmarks.contract import Train, no_report

TRAINING_SHARE = 0.9
LOGGERS = ("lightning.pytorch", "lightning.fabric", "scvi", "scgen", "biolord")
Report = Callable[[int, int, str], None]


@contextmanager
def seeded_and_quiet(seed: int = 0, report: Report = no_report) -> Iterator[Report]:
    """Run a third-party call from seeded global generators, without its prints and warnings; restore all afterwards.

    The low 32 bits of `seed` go to Python's `random`, NumPy and Torch, and `LOGGERS` pass errors only. Yields `report`,
    which still writes to the streams that were in place before.
    """
    import torch

    stdout, stderr = sys.stdout, sys.stderr

    def report_outside(done: int, total: int, text: str = "") -> None:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            report(done, total, text)

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    levels = {logger: logger.level for logger in map(logging.getLogger, LOGGERS)}
    try:
        with (
            torch.random.fork_rng(devices=devices),
            warnings.catch_warnings(),
            open(os.devnull, "w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            for logger in levels:
                logger.setLevel(logging.ERROR)
            random.seed(seed % 2**32)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.manual_seed(seed % 2**32)
            yield report_outside
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        for logger, level in levels.items():
            logger.setLevel(level)


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
