"""What stays of a set of predictions when it has been scored, in the folder of its `PredictionSet`.

values.npz        values and statuses of all metrics that look at one condition at a time
means.npy         mean profiles [condition, gene], float64; the input's where a condition has no prediction

Digests of both are in the outcome.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from benchmarks.data.store import checked_arrays
from benchmarks.data.store.atomic_files import atomic
from benchmarks.errors import StoreError
from benchmarks.execution.prediction_store import Outcome, checked_prediction, clear_set, get_outcome, put_outcome
from benchmarks.scoring.evaluate import Scores, Values
from benchmarks.scoring.scored_set import Profiles, ScoredSet, code_hash

VALUES, MEANS = "values.npz", "means.npy"


@contextmanager
def new_means(folder: Path) -> Iterator[IO[bytes]]:
    """Open the file of mean profiles, which `put_outcome` syncs; raises `StoreError` if the disk refuses."""
    with atomic(folder / MEANS, sync=False) as file:
        yield file


def put_scores(folder: Path, scored: ScoredSet, outcome: Outcome) -> Outcome:
    """Write the values; returns the outcome with digests of values and mean profiles, and of the code that scored."""
    checked_arrays.put(folder / VALUES, dict(scored.single()))
    return replace(outcome, values=_digest(folder / VALUES), means=_digest(folder / MEANS), code=code_hash())


def get_scores(folder: Path, outcome: Outcome) -> Values:
    """Read values; raises `StoreError` unless they are what was written with the outcome, by the code that is here now."""
    if outcome.code != code_hash():
        raise StoreError(f"The scores in {folder} are of another version of the metrics; run again with --resume.")
    return read_scores(folder, outcome)


def read_scores(folder: Path, outcome: Outcome) -> Values:
    """Read values, of whatever version of the metrics; raises `StoreError` unless they are what was written."""
    _check(folder / VALUES, outcome.values)
    try:
        found: Values = checked_arrays.get(folder / VALUES, Scores)
    except (FileNotFoundError, checked_arrays.Damaged) as error:
        raise StoreError(f"{error} Delete {folder} and run again with --resume.") from error
    check_means(folder, outcome)
    return found


def check_means(folder: Path, outcome: Outcome) -> None:
    """Raise `StoreError` unless the mean profiles are what was written with the outcome."""
    _check(folder / MEANS, outcome.means)


@contextmanager
def open_means(folder: Path) -> Iterator[Profiles]:
    """Open mean profiles."""
    with (folder / MEANS).open("rb") as file:
        yield Profiles(file)


def _check(path: Path, digest: str) -> None:
    try:
        same = _digest(path) == digest
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({type(error).__name__}); run again with --resume.") from error
    if not same:
        raise StoreError(f"{path} was changed after it was written; delete {path.parent} and run again with --resume.")


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def drop_unusable(folder: Path, *, keep: bool) -> None:
    """Remove a set whose scores cannot be used, so that it is made again; mark conditions as failed whose prediction changed.

    Where predictions are kept, they are scored again instead. With `keep`, a set without its predictions cannot be used either.
    """
    outcome = get_outcome(folder)
    if outcome is None or "ok" not in {ending.status for ending in outcome.endings}:
        return
    if not outcome.kept:
        try:
            get_scores(folder, outcome)
        except StoreError:
            clear_set(folder)
        else:
            if keep:
                clear_set(folder)
        return
    endings = list(outcome.endings)
    for number, ending in enumerate(endings):
        try:
            if ending.status == "ok":
                checked_prediction(folder, number, outcome)
        except StoreError as error:
            endings[number] = replace(ending, status="failed", reason=str(error))
    if endings != list(outcome.endings):
        put_outcome(folder, replace(outcome, endings=tuple(endings)))
