"""Scores of a set of predictions, block of conditions by block, in memory that does not depend on the number of conditions.

Metrics other than retrieval look at one condition at a time: their values are computed block by block. Of the predictions
themselves only the mean profiles stay, in a file, and retrieval is computed from these when all are there. Whatever is drawn at
random is keyed by labels, so the size of the blocks changes no number.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from filelock import FileLock

from benchmarks.data.store import checked_arrays
from benchmarks.data.store.atomic_files import FREE_TEMPORARY, RESUME, refusals
from benchmarks.freed_memory import return_freed
from benchmarks.scoring.evaluate import Scores, Values, evaluate, in_order, retrieve
from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.scored_fold import ScoredFold, Start
from benchmarks.scoring.summaries import PredictionSummary, TruthSummary, summarise_truth

T = TypeVar("T")
SINGLE = tuple(metric for metric in METRICS if metric.family != "retrieval")
"""Metrics that look at one condition at a time."""
BLOCK_BYTES = 256 << 20
"""Bytes that a block of conditions may take: predicted cells, and arrays [condition, gene]."""
ARRAYS = 24
"""Arrays [condition, gene] in float64 that a block takes while it is scored."""
MOST_IN_BLOCK = 256
"""Most conditions of a block."""
log = logging.getLogger(__name__)


class Profiles:
    """Mean profiles [condition, gene] in a file of NumPy's own format, in float64; a row is read when it is asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        file.seek(0)
        np.lib.format.read_magic(file)
        shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
        if fortran or kind != np.float64 or len(shape) != 2:
            raise ValueError(f"A file of mean profiles holds {kind} {shape}; expected float64 [condition, gene].")
        self.first, (self.n, self.n_genes) = file.tell(), shape

    @classmethod
    def new(cls, file: IO[bytes], n: int, n_genes: int) -> Profiles:
        """Begin an empty file; `append` adds the rows in their order."""
        about = {"descr": "<f8", "fortran_order": False, "shape": (n, n_genes)}
        np.lib.format.write_array_header_1_0(file, about)
        file.flush()
        return cls(file)

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows [condition, gene]."""
        self.file.write(np.ascontiguousarray(rows, dtype="<f8").data)
        self.file.flush()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, number: int) -> np.ndarray:
        size = 8 * self.n_genes
        row = os.pread(self.file.fileno(), size, self.first + int(number) * size)
        return np.frombuffer(row, dtype="<f8", count=self.n_genes)


class Facts(NamedTuple):
    """What is known of the truth of every condition, beside arrays of genes."""

    n_significant_genes: np.ndarray
    bandwidths: np.ndarray
    half_margin_bound: np.ndarray


@dataclass(frozen=True)
class Block:
    """Some conditions of a fold, one after the other, and their true cells."""

    numbers: range
    """Their numbers in the fold."""
    fold: ScoredFold
    truth: TruthSummary


@dataclass(frozen=True)
class KeptFiles:
    """Results that are computed by whoever comes first, and kept in files for all others."""

    folder: Path
    depends_on: str
    """Hash of what all results depend on: the cells, the training cells and the split."""
    trusts: Callable[[Path], bool] = Path.is_file
    """Whether a file that is there may be read."""
    made: Callable[[Path], None] = lambda path: None
    """Called with each file that has been written."""

    def get(self, name: str, make: Callable[[], T], *classes: type) -> T:
        """Read what is kept under a name, or make and keep it; one process at a time makes it, the others wait.

        `classes` are the dataclasses that may be in it. Raises `StoreError` if the file cannot be written.
        """
        key = hashlib.sha256("/".join((name, self.depends_on, code_hash())).encode()).hexdigest()
        path = self.folder / f"{key}.npz"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{key}.lock")):
            found: T | None = self._read(path, key, *classes)
            if found is None:
                found = make()
                checked_arrays.put(path, {"key": key, "content": found})
                self.made(path)
        return found

    def _read(self, path: Path, key: str, *classes: type) -> Any:
        if not self.trusts(path):
            return None
        try:
            kept = checked_arrays.get(path, *classes)
            if kept["key"] == key:
                return kept["content"]
            log.warning("%s is of other data or code; it is computed again.", path)
        except checked_arrays.Damaged as error:
            log.warning("%s It is computed again.", error)
        return None


@dataclass(frozen=True)
class BlockedFold:
    """A fold and direction that is scored block by block."""

    fold: ScoredFold
    """All conditions."""
    kept: KeptFiles | None = None
    """Where summaries of the truth are kept; None: in memory, those used last."""
    size: int = 0
    """Conditions of a block; 0: as many as `BLOCK_BYTES` hold."""

    @property
    def folder(self) -> Path | None:
        """Folder for files that are gone when they are closed; None: that of the system."""
        return self.kept.folder if self.kept else None

    def blocks(self) -> Iterator[Block]:
        """Yield all conditions in blocks, each with its summary of the truth."""
        step = self.size or block_size(self.fold)
        for first in range(0, len(self.fold), step):
            numbers = range(first, min(first + step, len(self.fold)))
            part = self.fold.part(numbers)
            yield Block(numbers, part, self._truth(part))
            return_freed()

    def profiles(self, file: IO[bytes]) -> Profiles:
        """Write the truth's mean profiles into a file."""
        found = Profiles.new(file, len(self.fold), len(self.fold.cells.var_names))
        for block in self.blocks():
            found.append(block.truth.profiles)
        return found

    def facts(self) -> Facts:
        """Gather what is known of every condition's truth."""
        found = [
            (b.truth.significant.sum(axis=1), b.truth.bandwidths, b.truth.half_margin_bound) for b in self.blocks()
        ]
        return Facts(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def keep(self, name: str, make: Callable[[], T], *classes: type) -> T:
        """Read what is kept of this fold under a name, or make and keep it, see `KeptFiles.get`; without files, in memory."""
        fold = self.fold
        if self.kept is None:
            return fold.sets.recent.get((fold.sets, name, fold.direction), make)
        return self.kept.get(f"{name}/{fold.direction}/{fold.seed}/{fold.linear}", make, *classes)

    def _truth(self, part: ScoredFold) -> TruthSummary:
        """Summarise the truth of a block; the positions of its cells follow from the fold, and are not kept."""
        names = ", ".join(f"{c.condition}" for c in part.conditions)
        found = self.keep(f"truth of {names}", lambda: replace(summarise_truth(part), positions=()), TruthSummary)
        return replace(found, positions=part.true_positions())


class ScoredSet:
    """Scores of one set of predictions, filled block by block; the mean profiles go into a file, where one is given."""

    def __init__(self, fold: ScoredFold, file: IO[bytes] | None = None) -> None:
        self.fold = fold
        self.means = None if file is None else Profiles.new(file, len(fold), len(fold.cells.var_names))
        self.parts: list[Values] = []

    def add(
        self,
        block: Block,
        predicted: PredictionSummary,
        *,
        start: Start | Sequence[np.ndarray] = "start",
        as_truth: bool = False,
    ) -> None:
        """Score the next block; see `evaluate` for `start` and `as_truth`."""
        self.parts.append(evaluate(block.fold, block.truth, predicted, start=start, as_truth=as_truth, metrics=SINGLE))
        if self.means is not None:
            self.means.append(predicted.quantities["predicted"])

    def single(self) -> Values:
        """Join the values of metrics that look at one condition at a time."""
        return {
            name: Scores(
                *(np.concatenate([getattr(part[name], of) for part in self.parts]) for of in ("values", "status"))
            )
            for name in self.parts[0]
        }

    def all(self, truth: Profiles | None, start: Start | Sequence[np.ndarray] = "start") -> Values:
        """Add retrieval, where mean profiles of both sides are there."""
        if self.means is None or truth is None:
            return self.single()
        return with_retrieval(self.fold, self.single(), truth, self.means, start)


def with_retrieval(
    fold: ScoredFold,
    single: Values,
    truth: Profiles,
    predicted: Profiles,
    start: Start | Sequence[np.ndarray] = "start",
) -> Values:
    """Add retrieval to the values of metrics that look at one condition at a time."""
    return in_order({**single, **retrieve(fold, truth, predicted, start=start)})


@contextmanager
def scratch(folder: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a file that is gone when it is closed, on the disk of a folder; raises `StoreError` if the disk refuses."""
    place, remedy = (folder, RESUME) if folder else (Path(gettempdir()), FREE_TEMPORARY)
    with refusals(place, remedy), TemporaryFile(dir=place) as file:
        yield file


def block_size(fold: ScoredFold) -> int:
    """Conditions of a block: as many as `BLOCK_BYTES` hold, by the number of genes and the most input cells of a condition."""
    cells = max(len(c.input(fold.direction)) for c in fold.conditions)
    each = len(fold.cells.var_names) * (8 * ARRAYS + 4 * cells)
    return int(np.clip(BLOCK_BYTES // each, 1, MOST_IN_BLOCK))


@cache
def code_hash() -> str:
    """Hash the code that scores, so that results of other code are never reused."""
    hasher = hashlib.sha256()
    here = Path(__file__).parent
    for source in (*sorted((here / "metrics").glob("*.py")), *sorted(here.glob("*.py"))):
        hasher.update(source.read_bytes())
    return hasher.hexdigest()
