"""Sets of predictions on disk, one folder each.

<run>/predictions/<model>/<direction>-<protocol>-fold<k>-seed<s>/
    values.npz, means.npy   what stays when a set has been scored, see `score_store`
    c0000.npz …             where predictions are kept, one condition each: values [profile, gene] (or data, indices, indptr of a
                            sparse matrix), unit, note
    outcome.json            written last: how every condition ended, digests of all that, and what it cost
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy.sparse as sp

from benchmarks.contract import Direction, Prediction, Unit
from benchmarks.data.store.atomic_files import atomic, clear, sync_folder
from benchmarks.data.store.checked_arrays import DAMAGED, read_arrays
from benchmarks.data.store.checked_json import from_bytes, to_bytes
from benchmarks.errors import ContractError, StoreError
from benchmarks.execution.ledger import forget_records, read_record, write_record
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
    digests: tuple[str, ...] = ()
    """`digest_of` each prediction, "" for a condition without one."""
    audit: str = ""
    """"clean"; "proved", "not proved: …" or "leak: …" after a proof; "leaky: …" under a protocol that leaks by design."""
    budget: str = "full"
    training_seed: int = 0
    """The seed `fit` got, derived from base seed, data, protocol, fold and training."""
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    shared_training: bool = False
    proof_seconds: float = 0.0
    kept: bool = False
    """Whether the predictions are kept."""
    code: str = ""
    """Hash of the code that scored them; "" where there was nothing to score."""
    values: str = ""
    """Digest of the file of values."""
    means: str = ""
    """Digest of the file of mean profiles."""

    def judged(self, audit: str) -> Outcome:
        """Take the result of an audit; after a leak all conditions with a prediction are failed."""
        judged = replace(self, audit=audit)
        if not judged.leaks:
            return judged
        endings = (replace(e, status="failed", reason=audit) if e.status == "ok" else e for e in self.endings)
        return replace(judged, endings=tuple(endings))

    @property
    def leaks(self) -> bool:
        """Whether a leak was found; such a training is not repeated by `--resume`."""
        return self.audit.startswith("leak:")

    @property
    def failed(self) -> int:
        """Number of conditions that failed or timed out."""
        return sum(ending.status in FAILURES for ending in self.endings)


def prediction_path(folder: Path, number: int) -> Path:
    """File of one condition's prediction in the folder of a `PredictionSet`."""
    return folder / f"c{number:04d}.npz"


def digest_of(prediction: Prediction) -> str:
    """Hash all of a prediction but its gene names."""
    hasher = hashlib.sha256()
    for name, array in arrays_of(prediction).items():
        hasher.update(f"{name} {array.dtype.str} {array.shape};".encode())
        hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()


def arrays_of(prediction: Prediction) -> dict[str, np.ndarray]:
    """Take all of a prediction but its gene names apart into arrays: dense `values`, or what makes a sparse matrix."""
    x = prediction.values
    about = {"unit": np.array(prediction.unit), "note": np.array(prediction.note)}
    if prediction.weights is not None:
        about["weights"] = prediction.weights
    if isinstance(x, np.ndarray):
        return {"values": x, **about}
    return {x.format: np.array(x.shape), "data": x.data, "indices": x.indices, "indptr": x.indptr, **about}


def prediction_of(arrays: Mapping[str, np.ndarray]) -> Prediction:
    """Put a prediction together from what `arrays_of` gave; raises one of `DAMAGED` or `ContractError` where it does not fit."""
    values: Any = arrays.get("values")
    if values is None:
        kind = sp.csc_matrix if "csc" in arrays else sp.csr_matrix
        shape = tuple(map(int, arrays["csc" if "csc" in arrays else "csr"]))
        values = kind((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        values.check_format()
    return Prediction(
        values, unit=cast(Unit, str(arrays["unit"])), note=str(arrays["note"]), weights=arrays.get("weights")
    )


def put_prediction(folder: Path, number: int, prediction: Prediction) -> None:
    """Write one condition's prediction, which `put_outcome` syncs; raises `StoreError` if the disk refuses."""
    with atomic(prediction_path(folder, number), sync=False) as handle:
        np.savez(handle, **arrays_of(prediction))  # type: ignore[arg-type]


def get_prediction(folder: Path, number: int) -> Prediction:
    """Read one condition's prediction; raises `StoreError` if it is not there or damaged."""
    path = prediction_path(folder, number)
    try:
        return prediction_of(read_arrays(path))
    except (*DAMAGED, ContractError) as error:
        raise StoreError(
            f"Prediction {path} cannot be read ({type(error).__name__}); delete {folder} and run again with --resume."
        ) from error


def checked_prediction(folder: Path, number: int, outcome: Outcome) -> Prediction:
    """Read one condition's prediction; raises `StoreError` unless it is what was stored when the outcome was written."""
    prediction = get_prediction(folder, number)
    if digest_of(prediction) != outcome.digests[number]:
        raise StoreError(
            f"Prediction {prediction_path(folder, number)} was changed after it was stored; delete {folder} and run again "
            "with --resume."
        )
    return prediction


def clear_set(folder: Path) -> None:
    """Remove everything of a `PredictionSet`."""
    forget_records(folder)
    clear(folder)


def put_outcome(folder: Path, outcome: Outcome) -> None:
    """Write an outcome; it is the last file of a `PredictionSet`, so that what has one is complete and on the disk."""
    if folder.is_dir():
        sync_folder(folder)
    write_record(folder / "outcome.json", to_bytes(asdict(outcome)))


def get_outcome(folder: Path) -> Outcome | None:
    """Read an outcome; None where there is none, or another than was written."""
    try:
        table = from_bytes(read_record(folder / "outcome.json"))
        endings = tuple(Ending(**ending) for ending in table["endings"])
        outcome = Outcome(**{**table, "endings": endings, "digests": tuple(table["digests"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return outcome if len(outcome.digests) == len(endings) else None
