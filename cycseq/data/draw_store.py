"""Draws on disk: pseudo-pairs written once, then read batch by batch from memory-mapped files.

A store is a folder: `control.npy` and `perturbed.npy` (float32 [pair, gene], a pair's two draws in the same row of both),
`p.npy`, `b.npy`, `dose.npy` (labels), `means.npy` (mean control and perturbed profile of the training part),
`checksums.npy` (CRC-32 of each row of both sides, uint32 [side, pair]) and `store.json`, which holds the sha256 of the other
arrays and of itself. Rows are sorted by part: training pairs, then validation pairs, which share no cell with them.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from tokenize import TokenError
from typing import Any, Self

import numpy as np
import torch
from anndata import AnnData
from jaxtyping import Bool, Float, Int, UInt32
from pydantic import TypeAdapter

from cycseq.config import TrainConfig
from cycseq.data import vocabulary as vocabularies
from cycseq.data.cell_reader import CellReader, reader_of
from cycseq.data.input_checks import check_whole, training_cells
from cycseq.data.loader import CACHE_BYTES, CHUNK, PairBatch, PairLoader, Rows, Source, Statistics, measure, measured
from cycseq.data.sampling import Pairs, hold_out, training_pairs
from cycseq.data.vocabulary import Vocabulary
from cycseq.errors import ConfigError, DataError
from cycseq.files import UNREADABLE, check_place, written_whole

SHARE_OF_DISK = 0.25
"""Share of the free disk that draws of one training may take."""
FORMAT = "cycseq-draws"
VERSION = 4
REMAKE = "Delete the folder, and make the store with DrawStore.from_adata."
SIDES = ("control", "perturbed")
WHOLE = ("p", "b", "dose", "means", "checksums")
"""Arrays that are read whole when a store is opened, and have their digests in `store.json`."""
SETTINGS = ("unit", "cells_per_draw", "draws_per_condition", "validation", "validation_share")
"""Fields of `TrainConfig` that decide the draws."""


@dataclass(frozen=True)
class Content:
    """Content of `store.json`."""

    fingerprints: tuple[str, str]
    """Hash of the training and of the validation pairs."""
    seed: int
    settings: dict[str, Any]
    n_pairs: tuple[int, int]
    vocabulary: Vocabulary
    cells: dict[str, str]
    """Hash of each context's cells (`vocabulary.cells_of_contexts`), which fine-tuning checks."""
    variance: float = 0.0
    """Var(x) of the training part."""
    digests: dict[str, str] = field(default_factory=dict)
    """sha256 of each array of `WHOLE`."""
    format: str = FORMAT
    version: int = VERSION


@dataclass(frozen=True)
class StoredPairs:
    """Training or validation pairs of a store; rows are read on demand."""

    control: np.memmap
    """Control draws of the whole store [pair, gene]."""
    perturbed: np.memmap
    p: Int[np.ndarray, " pair"]
    b: Int[np.ndarray, " pair"]
    dose: Float[np.ndarray, "pair dose"]
    first: int
    """Row of the maps this part starts at."""
    fingerprint: str
    checksums: UInt32[np.ndarray, "side pair"]
    """CRC-32 of the rows of the maps."""
    checked: Bool[np.ndarray, " pair"]
    """Rows of the maps that were read and had their checksums; `take` sets it, so that later epochs read only."""

    def __len__(self) -> int:
        return len(self.p)

    @property
    def n_genes(self) -> int:
        """Genes of a draw."""
        return self.control.shape[1]

    def take(self, rows: Rows) -> PairBatch:
        """Read some pairs into memory; raises `DataError` if a row is not what was written."""
        self.prefetch(rows)
        places = self.first + rows
        sides = [np.ascontiguousarray(side[places]) for side in (self.control, self.perturbed)]
        for side in (self.control, self.perturbed):
            release(side)
        new = np.flatnonzero(~self.checked[places])
        for name, values, expected in zip(SIDES, sides, self.checksums, strict=True):
            wrong = places[new][_checksums(values[new]) != expected[places[new]]]
            if len(wrong):
                path = Path(str(self.control.filename)).with_name(f"{name}.npy")
                raise DataError(f"'{path}' is damaged: row {wrong[0]} has another checksum than when written. {REMAKE}")
        self.checked[places] = True
        parts = (*sides, self.p[rows], self.b[rows], self.dose[rows])
        return PairBatch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))

    def prefetch(self, rows: Rows) -> None:
        """Let the system read these pairs from the disk in the background (Linux)."""
        if not hasattr(os, "posix_fadvise"):
            return
        n_bytes = self.n_genes * np.dtype(np.float32).itemsize
        for side in (self.control, self.perturbed):
            with open(str(side.filename), "rb") as file:
                for row in (self.first + rows).tolist():
                    start = side.offset + row * n_bytes
                    os.posix_fadvise(file.fileno(), start, n_bytes, os.POSIX_FADV_WILLNEED)


def check_storable(config: TrainConfig) -> None:
    """Raise `ConfigError` for settings that need cells: draws stand for one division of the cells."""
    if config.model.blend != "none" or config.folds > 1:
        raise ConfigError(
            f"blend={config.model.blend!r} and folds={config.folds} need cells, not a store of draws: give an AnnData, or "
            "set blend='none' and folds=1."
        )


class DrawStore:
    """A folder of draws and the `content` of its `store.json`; `from_adata` makes one, `open` reads one."""

    def __init__(self, path: Path, content: Content) -> None:
        self.path, self.vocabulary, self.cells = path, content.vocabulary, content.cells
        self.seed, self.settings, self.fingerprints = content.seed, content.settings, content.fingerprints
        self.variance, (self.n_train, n_validation) = content.variance, content.n_pairs
        n_pairs, n_genes = self.n_train + n_validation, len(self.vocabulary.genes)
        self._x = [self._map(name, (n_pairs, n_genes), np.float32) for name in SIDES]
        for side in self._x:
            if isinstance(side.base, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
                side.base.madvise(mmap.MADV_RANDOM)  # else a row brings megabytes around it from the disk
        doses = int(self.vocabulary.dosed)
        shapes = ((n_pairs,), (n_pairs,), (n_pairs, doses), (2, n_genes), (2, n_pairs))
        types: tuple[type[np.generic], ...] = (np.int64, np.int64, np.float32, np.float32, np.uint32)
        whole = [
            self._whole(name, shape, dtype, content.digests[name])
            for name, shape, dtype in zip(WHOLE, shapes, types, strict=True)
        ]
        self._labels, (self._means, self._checksums) = whole[:3], whole[3:]
        self._checked = np.zeros(n_pairs, dtype=bool)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store; raises `DataError` if there is none in the folder, or it is damaged or of another version.

        The draws themselves, which may be larger than memory, are checked row by row when they are read.
        """
        try:
            content = json.loads((Path(path) / "store.json").read_text())
            found, seal = (content["format"], content["version"]), content.pop("sha256", "")
            if found == (FORMAT, VERSION):
                if seal != _digest(json.dumps(content).encode()):
                    raise ValueError("it has another digest than when it was written")
                return cls(Path(path), TypeAdapter(Content).validate_python(content))
        except DataError:
            raise
        except UNREADABLE as error:
            raise DataError(f"'{path}' has no store.json of a store of draws ({error!r}). {REMAKE}") from error
        raise DataError(f"'{path}' is {found[0]}, version {found[1]}; this release reads {FORMAT}, {VERSION}. {REMAKE}")

    @classmethod
    def from_adata(cls, path: str | Path, adata: AnnData | CellReader, config: TrainConfig, seed: int = 0) -> Self:
        """Draw from cells what `CycSeq(config, seed).pretrain(adata)` would draw, and `write` it to a folder.

        Of a `CellReader` some cells are in memory at a time.

        Raises `DataError` for cells the method cannot read, or if the folder holds something else.
        """
        check_place(path, folder=True)
        check_storable(config)
        check_whole("seed", seed, 0)
        reader = reader_of(adata)
        known = vocabularies.from_adata(reader)
        cells = training_cells(reader, known, config)
        held = hold_out(cells, known, config, seed)[0]
        pairs = training_pairs(cells, known, held, config, seed)
        return cls.write(path, known, *pairs, (config, seed), vocabularies.cells_of_contexts(reader))

    @classmethod
    def write(
        cls,
        path: str | Path,
        known: Vocabulary,
        train: Source,
        validation: Source,
        made_with: tuple[TrainConfig, int],
        cells: dict[str, str] | None = None,
    ) -> Self:
        """Write pairs of disjoint cells, made with a configuration and a seed, to a folder.

        Pairs are computed and written some at a time, and the folder appears when it is complete. If it is there already,
        with the same pairs, it is used; so several processes may make one store at once. `cells` are the hashes of
        `vocabulary.cells_of_contexts`, which fine-tuning checks. Raises `DataError` if the folder holds something else.
        """
        folder, (config, seed) = Path(path), made_with
        fingerprints = (train.fingerprint, validation.fingerprint)
        settings = {name: getattr(config, name) for name in SETTINGS}
        content = Content(fingerprints, seed, settings, (len(train), len(validation)), known, cells or {})
        if not folder.exists():
            try:
                with written_whole(folder) as making:
                    making.mkdir()
                    variance, digests = _fill(making, train, validation)
                    own = asdict(replace(content, variance=variance, digests=digests))
                    seal = {"sha256": _digest(json.dumps(own).encode())}
                    (making / "store.json").write_text(json.dumps(own | seal))
            except OSError:
                if not folder.exists():  # else another process was first
                    raise
        found = cls.open(folder)
        if found.fingerprints != fingerprints or found.vocabulary != known:
            raise DataError(
                f"'{folder}' holds draws of other cells, names, settings or another seed. Delete it, or give another folder."
            )
        return found

    def train(self, device: str = "cpu") -> PairLoader:
        """Pairs to train on."""
        control, perturbed = torch.from_numpy(self._means)
        statistics = Statistics(control, perturbed, self.variance)
        return PairLoader(
            self._part(slice(0, self.n_train), self.fingerprints[0]), device, statistics, keep=device != "cpu"
        )

    def validation(self, device: str = "cpu") -> PairLoader:
        """Pairs to validate on."""
        return PairLoader(self._part(slice(self.n_train, None), self.fingerprints[1]), device, keep=device != "cpu")

    def configure(self, config: TrainConfig) -> TrainConfig:
        """Give a configuration this store's settings of the draws."""
        return replace(config, **self.settings)

    def check(self, config: TrainConfig, seed: int) -> None:
        """Raise `ConfigError` if a model's settings or seed are not those of the draws, or need cells."""
        check_storable(config)
        given = {name: getattr(config, name) for name in self.settings} | {"the seed": seed}
        stored = self.settings | {"the seed": self.seed}
        differ = [
            f"{name} is {given[name]!r}, the store has {stored[name]!r}"
            for name in given
            if given[name] != stored[name]
        ]
        if differ:
            raise ConfigError(
                f"The draws in '{self.path.name}' were made with other settings: {'; '.join(differ)}. Use "
                "CycSeq(store.configure(config), store.seed), or make another store."
            )

    def _part(self, rows: slice, fingerprint: str) -> StoredPairs:
        p, b, dose = (label[rows] for label in self._labels)
        control, perturbed = self._x
        return StoredPairs(control, perturbed, p, b, dose, rows.start, fingerprint, self._checksums, self._checked)

    def _map(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> np.memmap:
        path = self.path / f"{name}.npy"
        try:
            found = np.lib.format.open_memmap(path, "r")
        except (*UNREADABLE, SyntaxError, TokenError) as error:
            raise DataError(f"'{path}' cannot be read ({error!r}). {REMAKE}") from error
        if found.shape != shape or found.dtype != dtype:
            raise DataError(
                f"'{path}' is {found.dtype} of shape {found.shape}; expected {np.dtype(dtype)} of {shape}. {REMAKE}"
            )
        return found

    def _whole(self, name: str, shape: tuple[int, ...], dtype: type[np.generic], digest: str) -> np.ndarray:
        found = np.array(self._map(name, shape, dtype))
        if _digest(found.tobytes()) != digest:
            raise DataError(
                f"'{self.path / name}.npy' is damaged: its digest is another than when it was written. {REMAKE}"
            )
        return found


@contextmanager
def served(
    known: Vocabulary, pairs: tuple[Pairs, Pairs], made_with: tuple[TrainConfig, int], device: str, scratch: Path | None
) -> Iterator[tuple[PairLoader, PairLoader]]:
    """Serve the training and validation pairs of a training from memory, a store, or the cells.

    Draws of more than `CACHE_BYTES` are written once to a store in the folder `scratch`, and deleted at the end, where they
    take at most `SHARE_OF_DISK` of what is free; else they are computed from the cells whenever a batch is read. All give
    the same draws.
    """
    n_bytes = sum(2 * 4 * len(part) * part.n_genes for part in pairs)
    if scratch is None or not CACHE_BYTES < n_bytes <= SHARE_OF_DISK * shutil.disk_usage(scratch).free:
        yield PairLoader(pairs[0], device), PairLoader(pairs[1], device)
        return
    with TemporaryDirectory(dir=scratch) as folder:
        store = DrawStore.write(Path(folder) / "draws", known, *pairs, made_with)
        yield store.train(device), store.validation(device)


def release(array: np.memmap) -> None:
    """Let go of the pages of a file that were read or written; they stay in the system's cache."""
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _checksums(rows: np.ndarray) -> UInt32[np.ndarray, " row"]:
    return np.array([zlib.crc32(row) for row in rows], dtype=np.uint32)


def _fill(folder: Path, train: Source, validation: Source) -> tuple[float, dict[str, str]]:
    """Write the arrays of both parts; return Var(x) of the training part, and the digests of the arrays of `WHOLE`."""
    shape = len(train) + len(validation), train.n_genes
    sides = [np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape) for name in SIDES]
    checksums = np.zeros((len(sides), shape[0]), dtype=np.uint32)

    for part, start in ((train, 0), (validation, len(train))):
        for rows in np.split(np.arange(len(part)), range(CHUNK, len(part), CHUNK)):
            batch = part.take(rows)
            for side, sums, values in zip(sides, checksums, (batch.control, batch.perturbed), strict=True):
                side[start + rows] = values.numpy()
                sums[start + rows] = _checksums(values.numpy())
                release(side)
    rows, labels = measured(len(train)), (train.p, train.b, train.dose)
    found = measure(
        PairBatch(*(torch.from_numpy(array[part]) for array in (*sides, *labels)))
        for part in np.split(rows, range(CHUNK, len(rows), CHUNK))
    )
    both = (np.concatenate([getattr(train, name), getattr(validation, name)]) for name in WHOLE[:3])
    means = torch.stack([found.control, found.perturbed]).numpy()
    arrays = dict(zip(WHOLE, (*both, means, checksums), strict=True))
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return found.variance, {name: _digest(array.tobytes()) for name, array in arrays.items()}
