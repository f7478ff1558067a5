"""Predictions on disk: written the moment they are made, before anything is scored.

<run>/predictions/<model>/<direction>-<protocol>-fold<k>-seed<s>/
    c000.npz …        one condition each: values [profile, gene], unit, note
    outcome.json      written last: how every condition ended, and what it cost
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import numpy as np

from benchmarks.contract import Direction, Prediction, Unit
from benchmarks.data.store.atomic_files import atomic, sync_folder, write_json
from benchmarks.data.store.checked_json import read_checked, with_digest
from benchmarks.errors import ContractError, StoreError
from benchmarks.scoring.endings import FAILURES, Ending


@dataclass(frozen=True)
class PredictionSet:
    """Names the predictions of one model for the conditions of one fold, in one direction and with one seed."""

    model: str
    direction: Direction
    protocol: str
    fold: int
    seed: int

    def folder(self, run: Path) -> Path:
        """Folder of the predictions in a run's folder."""
        return run / "predictions" / self.model / f"{self.direction}-{self.protocol}-fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """How the conditions of a `PredictionSet` ended, and what it cost."""

    key: str
    """Content hash of all that the predictions depend on; another key means they are stale."""
    endings: tuple[Ending, ...]
    audit: str = ""
    budget: str = "full"
    training_seed: int = 0
    """The seed `fit` got, derived from base seed, data, protocol, fold and training."""
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    shared_training: bool = False

    @property
    def failed(self) -> int:
        """Number of conditions that failed or timed out."""
        return sum(ending.status in FAILURES for ending in self.endings)


def prediction_path(folder: Path, number: int) -> Path:
    """File of one condition's prediction in the folder of a `PredictionSet`."""
    return folder / f"c{number:04d}.npz"


def put_prediction(folder: Path, number: int, prediction: Prediction) -> None:
    """Write one condition's prediction, which `put_outcome` syncs; raises `StoreError` if the disk refuses."""
    with atomic(prediction_path(folder, number), sync=False) as handle:
        weights = np.array([]) if prediction.weights is None else prediction.weights
        np.savez(handle, values=prediction.values, unit=prediction.unit, note=prediction.note, weights=weights)


def get_prediction(folder: Path, number: int) -> Prediction:
    """Read one condition's prediction; raises `StoreError` if it is not there or damaged."""
    path = prediction_path(folder, number)
    try:
        with np.load(path) as stored:
            unit, weights = cast(Unit, str(stored["unit"])), stored["weights"] if stored["weights"].size else None
            return Prediction(stored["values"], unit=unit, note=str(stored["note"]), weights=weights)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, ContractError) as error:
        raise StoreError(
            f"Prediction {path} cannot be read ({type(error).__name__}); delete {folder} and run again with --resume."
        ) from error


def put_outcome(folder: Path, outcome: Outcome) -> None:
    """Write an outcome; it is the last file of a `PredictionSet`, so that what has one is complete and on the disk."""
    if folder.is_dir():
        sync_folder(folder)
    write_json(folder / "outcome.json", with_digest(asdict(outcome)))


def get_outcome(folder: Path) -> Outcome | None:
    """Read an outcome; None where there is none, or another than was written."""
    try:
        table = read_checked(folder / "outcome.json")
        return Outcome(**{**table, "endings": tuple(Ending(**e) for e in table["endings"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
