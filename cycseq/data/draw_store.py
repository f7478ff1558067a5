"""Draws on disk: pseudo-pairs written once, then read batch by batch from memory-mapped files.

A store is a folder: `control.npy` and `perturbed.npy` (float32 [pair, gene], a pair's two draws in the same row of both),
`p.npy`, `b.npy`, `dose.npy` (labels), `means.npy` (mean control and perturbed profile of the training part) and
`store.json`. Rows are sorted by part: training pairs, then validation pairs, which share no cell with them.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

import numpy as np
import torch
from anndata import AnnData
from jaxtyping import Float, Int

from cycseq.arguments import check_cells, check_place, check_whole
from cycseq.config import TrainConfig
from cycseq.data import vocabulary as vocabularies
from cycseq.data.input_checks import check_training
from cycseq.data.loader import CHUNK, PairLoader, Statistics, Sums
from cycseq.data.sampling import PairBatch, Source, hold_out, training_pairs
from cycseq.data.vocabulary import Vocabulary
from cycseq.errors import ConfigError, DataError

FORMAT = "cycseq-draws"
VERSION = 2
SETTINGS = ("unit", "cells_per_draw", "draws_per_condition", "validation", "validation_share")
"""Fields of `TrainConfig` that decide the draws."""


@dataclass(frozen=True)
class StoredPairs:
    """Training or validation pairs of a store; rows are read when they are asked for."""

    control: np.memmap
    """Memory map of the store's control draws [pair, gene]."""
    perturbed: np.memmap
    """Memory map of the store's perturbed draws [pair, gene]."""
    p: Int[np.ndarray, " pair"]
    b: Int[np.ndarray, " pair"]
    dose: Float[np.ndarray, "pair dose"]
    first: int
    """Row of the maps this part starts at."""
    fingerprint: str
    """Hash of what the draws were made from."""

    def __len__(self) -> int:
        return len(self.p)

    @property
    def n_genes(self) -> int:
        """Genes of a draw."""
        return self.control.shape[1]

    def take(self, rows: Int[np.ndarray, " row"]) -> PairBatch:
        """Read some pairs into memory."""
        self.prefetch(rows)
        sides = (side[self.first + rows] for side in (self.control, self.perturbed))
        parts = (*sides, self.p[rows], self.b[rows], self.dose[rows])
        return PairBatch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))

    def prefetch(self, rows: Int[np.ndarray, " row"]) -> None:
        """Have the system read these pairs, no more, from the disk while this process does something else (Linux)."""
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
    """A folder of draws; `write` or `from_adata` make one, `open` reads one.

    Parameters
    ----------
    path
        The folder.
    content
        What its `store.json` says.
    """

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.vocabulary = Vocabulary.from_names(content["vocabulary"])
        self.cells: dict[str, str] = content["cells"]
        self.seed: int = content["seed"]
        self.settings: dict[str, Any] = content["settings"]
        self.fingerprint: str = content["fingerprint"]
        self.variance: float = content["variance"]
        self.n_train, self.n_validation = content["n_pairs"]
        n_pairs, n_genes = self.n_train + self.n_validation, len(self.vocabulary.genes)
        self._x: dict[str, np.memmap] = {
            name: self._array(name, (n_pairs, n_genes), np.float32, "r") for name in ("control", "perturbed")
        }
        for side in self._x.values():
            if isinstance(side.base, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
                side.base.madvise(mmap.MADV_RANDOM)  # else a row brings megabytes around it from the disk
        self._labels: dict[str, np.ndarray] = {name: self._array(name, (n_pairs,), np.int64) for name in ("p", "b")}
        self._labels["dose"] = self._array("dose", (n_pairs, int(self.vocabulary.dosed)), np.float32)
        self._means: np.ndarray = self._array("means", (2, n_genes), np.float32)
        for name, names in (("p", self.vocabulary.perturbations), ("b", self.vocabulary.batches)):
            own = self._labels[name]
            if len(own) and not (own.min() >= 0 and own.max() < len(names)):
                raise DataError(
                    f"'{path / name}.npy' has labels from {own.min()} to {own.max()}; expected 0 to {len(names) - 1}. "
                    "Delete the folder and make the store again."
                )

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store.

        Raises
        ------
        DataError
            There is no store in the folder, or it is damaged or of another version. The draws themselves, which may be
            larger than memory, are checked for their number and type only.
        """
        given = Path(path) / "store.json"
        try:
            content = json.loads(given.read_text())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                f"'{path}' is not a store of draws: it has no store.json. Make one with DrawStore.from_adata."
            ) from error
        except ValueError as error:
            raise DataError(f"'{given}' cannot be read ({error}). Delete the folder and make it again.") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(f"'{given}' does not describe a store of draws. Make one with DrawStore.from_adata.")
        if content.get("version") != VERSION:
            raise DataError(
                f"'{path}' has format version {content.get('version')}; this release reads {VERSION}. Make the store again."
            )
        try:
            return cls(Path(path), content)
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(f"'{given}' lacks {error}. Delete the folder and make the store again.") from error

    @classmethod
    def from_adata(cls, path: str | Path, adata: AnnData, config: TrainConfig, seed: int = 0) -> Self:
        """Draw from cells what `CycSeq(config, seed).pretrain(adata)` would draw, and write it to a folder.

        The assignment of cells to draws is in memory, the draws are not. Returns at once if the folder has them already.

        Raises
        ------
        DataError
            Cells the method cannot read, or the folder has another store.
        """
        check_place(path, folder=True)
        check_storable(config)
        check_whole("seed", seed, 0)
        known = vocabularies.from_adata(check_cells(adata))
        cells = vocabularies.encode(adata, known)
        check_training(cells, known, config)
        held = hold_out(cells, known, config, seed)[0]
        train, validation = training_pairs(cells, known, held, config, seed)
        return cls.write(path, known, train, validation, (config, seed), vocabularies.cells_of_contexts(adata))

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
        """Write pairs to a folder, some at a time; the folder appears when it is complete.

        Two processes may do so at once: the first to finish makes the store, the other one uses it.

        Parameters
        ----------
        path
            The folder; its parent must exist.
        known
            Names the labels of the pairs point to.
        train, validation
            Pairs made of disjoint cells.
        made_with
            Configuration and seed of the draws; models that train on them must have the same.
        cells
            Hash of each context's cells, `vocabulary.cells_of_contexts`, by which fine-tuning knows them again.

        Raises
        ------
        DataError
            The folder is there already and holds something else.
        """
        folder, (config, seed) = Path(path), made_with
        fingerprint = sha256(f"{train.fingerprint} {validation.fingerprint}".encode()).hexdigest()
        content = {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": fingerprint,
            "seed": seed,
            "settings": {name: getattr(config, name) for name in SETTINGS},
            "n_pairs": [len(train), len(validation)],
            "vocabulary": asdict(known),
            "cells": cells or {},
        }
        if folder.exists():
            return cls._same(folder, known, fingerprint)
        making = folder.with_name(f".{folder.name}.{uuid4().hex}")
        making.mkdir()
        try:
            content["variance"] = _fill(making, train, validation)
            (making / "store.json").write_text(json.dumps(content))
            try:
                os.rename(making, folder)
            except OSError:
                return cls._same(folder, known, fingerprint)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return cls.open(folder)

    def train(self, device: str = "cpu") -> PairLoader:
        """Pairs to train on."""
        control, perturbed = torch.from_numpy(self._means)
        return PairLoader(
            self._part(slice(0, self.n_train), "train"),
            device,
            Statistics(control, perturbed, self.variance),
            keep=device != "cpu",
        )

    def validation(self, device: str = "cpu") -> PairLoader:
        """Pairs to validate on."""
        return PairLoader(self._part(slice(self.n_train, None), "validation"), device, keep=device != "cpu")

    def configure(self, config: TrainConfig) -> TrainConfig:
        """Give a configuration this store's settings of the draws."""
        return replace(config, **self.settings)

    def check(self, config: TrainConfig, seed: int) -> None:
        """Raise `ConfigError` if a model's settings or seed are not those of the draws, or need cells."""
        check_storable(config)
        differ = [
            f"{name} is {getattr(config, name)!r}, the store has {value!r}"
            for name, value in self.settings.items()
            if getattr(config, name) != value
        ]
        if seed != self.seed:
            differ.append(f"the seed is {seed}, the store has {self.seed}: fine-tuning would mix up validation cells")
        if differ:
            raise ConfigError(
                f"The draws in '{self.path.name}' were made with other settings: {'; '.join(differ)}. Use "
                "CycSeq(store.configure(config), store.seed), or make another store."
            )

    @classmethod
    def _same(cls, folder: Path, known: Vocabulary, fingerprint: str) -> Self:
        found = cls.open(folder)
        if found.fingerprint != fingerprint or found.vocabulary != known:
            raise DataError(
                f"'{folder}' holds draws of other cells, names, settings or another seed. Delete it, or give another folder."
            )
        return found

    def _part(self, rows: slice, name: str) -> StoredPairs:
        p, b, dose = (self._labels[label][rows] for label in ("p", "b", "dose"))
        return StoredPairs(
            self._x["control"], self._x["perturbed"], p, b, dose, rows.start, f"{self.fingerprint} {name}"
        )

    def _array(
        self, name: str, shape: tuple[int, ...], dtype: type[np.generic], mmap_mode: Literal["r"] | None = None
    ) -> Any:
        path = self.path / f"{name}.npy"
        try:
            found = np.load(path, mmap_mode=mmap_mode)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"'{path}' cannot be read ({error}). Delete the folder and make the store again."
            ) from error
        if found.shape != shape or found.dtype != dtype:
            raise DataError(
                f"'{path}' is {found.dtype} of shape {found.shape}; expected {np.dtype(dtype)} of {shape}. Delete the folder "
                "and make the store again."
            )
        return found


def _fill(folder: Path, train: Source, validation: Source) -> float:
    """Write the arrays of both parts; return Var(x) of the training part."""
    n_pairs, sums = len(train) + len(validation), Sums(train.n_genes)
    sides = [
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (n_pairs, train.n_genes))
        for name in ("control", "perturbed")
    ]
    start = 0
    for part in (train, validation):
        for rows in np.split(np.arange(len(part)), range(CHUNK, len(part), CHUNK)):
            batch = part.take(rows)
            for side, values in zip(sides, (batch.control, batch.perturbed), strict=True):
                side[start : start + len(rows)] = values.numpy()
            if part is train:
                sums.add(batch)
            start += len(rows)
    for side in sides:
        side.flush()
    for name in ("p", "b", "dose"):
        np.save(folder / f"{name}.npy", np.concatenate([getattr(train, name), getattr(validation, name)]))
    found = sums.statistics()
    np.save(folder / "means.npy", torch.stack([found.control, found.perturbed]).numpy())
    return found.variance
