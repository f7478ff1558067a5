"""Pseudobulk draws, written once: means of c_s cells of one condition, N_R of them, none across the parts of a split.

One sample of the paper is the mean profile of c_s cells of one (context, perturbation, batch), drawn N_R times (section
2.2). They depend on the cells, on who is in which part and on a few numbers, so they lie in the cache under a hash of
these and are shared by every model and run that asks for the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import read_elem, write_elem

from benchmarks.data.download import cache_dir
from benchmarks.data.expression_space import SpaceChoice, convert
from benchmarks.data.schema import Space
from benchmarks.data.store.cell_store import SORTED_BY, CellStore
from benchmarks.data.store.make_once import Teller, make_once, need_space, silent
from benchmarks.errors import DataError
from benchmarks.seeds import derive
from benchmarks.tasks.splits import Split

DRAWS = "draws.h5ad"
VERSION = 1
ROLES = ("control_a", "control_b", "perturbed_a", "perturbed_b")


@dataclass(frozen=True)
class DrawSettings:
    """How draws are made; all of it is in their hash."""

    cells_per_draw: int = 50
    """c_s: cells averaged in one draw; with replacement only where a condition has fewer."""
    draws_per_condition: int = 50
    """N_R: draws of each condition, in each part."""
    seed: int = 0
    space: SpaceChoice = "cp10k"
    """What counts become before they are averaged."""

    def __post_init__(self) -> None:
        for name in ("cells_per_draw", "draws_per_condition"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}; expected 1 or more.")


@dataclass(frozen=True)
class Draws:
    """Draws on disk; a row is read when it is looked at."""

    folder: Path
    x: np.ndarray
    """Memory map [draw, gene], float32, log2 units (or z-scores)."""
    index: pd.DataFrame
    """One row a draw: `part`, the columns of `SORTED_BY`, and `cells`, how many the part has of the condition."""
    genes: pd.Index

    def rows(self, part: str, **labels: str) -> np.ndarray:
        """Find the draws of a part, and of a condition; raises `DataError` where there is none."""
        keep = (self.index["part"] == part).to_numpy()
        for column, value in labels.items():
            keep &= (self.index[column] == value).to_numpy()
        if not keep.any():
            raise DataError(f"No draw of part '{part}' has {labels}; parts: {', '.join(self.index['part'].unique())}.")
        return np.flatnonzero(keep)


def parts_of(split: Split) -> dict[str, np.ndarray]:
    """List who may be averaged with whom: the training cells, and each role of the test cells.

    Raises
    ------
    DataError
        The split is leaky: its parts share cells.
    """
    if split.leaky:
        raise DataError(f"Protocol '{split.protocol}' tests on training cells; its parts share cells.")
    parts = {"train": split.train}
    for role in ROLES:
        parts[role] = np.unique(np.concatenate([getattr(condition, role) for condition in split.conditions]))
    return parts


def sample(store: CellStore, parts: Mapping[str, np.ndarray], settings: DrawSettings, tell: Teller = silent) -> Draws:
    """Open the draws of some cells; they are made first if they are not in the cache.

    Parameters
    ----------
    store
        The cells.
    parts
        Name → positions in `store.obs`; no cell may be in two, and no draw has cells of two. See `parts_of`.
    settings
        How they are drawn.
    tell
        Called with how far it is.

    Raises
    ------
    DataError
        A cell is in two parts, or there is none.
    StoreError
        The cache cannot be written.
    """
    together = np.concatenate([*parts.values(), np.array([], dtype=np.int64)])
    if not len(together) or len(np.unique(together)) < len(together):
        raise DataError(f"Parts {', '.join(parts)} have {len(together)} cells and share some; expected disjoint parts.")
    folder = cache_dir() / "draws" / f"{store.dataset}-{_key(store, parts, settings)[:16]}"
    make_once(folder, lambda making: _write(making, store, parts, settings, tell), tell)
    return _open(folder)


def _key(store: CellStore, parts: Mapping[str, np.ndarray], settings: DrawSettings) -> str:
    hasher = hashlib.sha256(json.dumps([VERSION, store.digest, store.space, asdict(settings)]).encode())
    for name in sorted(parts):
        hasher.update(f"\x1f{name}\x1f".encode())
        hasher.update(np.sort(parts[name]).astype(np.int64).tobytes())
    return hasher.hexdigest()


def _open(folder: Path) -> Draws:
    with h5py.File(folder / DRAWS) as file:
        place, shape = file["X"].id.get_offset(), file["X"].shape
        index, genes = read_elem(file["obs"]), read_elem(file["var"]).index
    x = np.memmap(folder / DRAWS, "<f4", "r", place, shape)
    return Draws(folder, x, index, genes)


def _write(
    folder: Path, store: CellStore, parts: Mapping[str, np.ndarray], settings: DrawSettings, tell: Teller
) -> None:
    groups = [(part, *group) for part in sorted(parts) for group in store.groups(parts[part])]
    n_draws = settings.draws_per_condition
    need_space(folder, 4 * len(groups) * n_draws * store.n_vars, f"{len(groups) * n_draws:,} draws of {store.dataset}")
    table = pd.DataFrame(
        [{"part": part, **condition[list(SORTED_BY)], "cells": len(members)} for part, condition, members in groups]
    ).astype({"dose": np.float64})
    index = table.loc[np.repeat(table.index, n_draws)].reset_index(drop=True)
    text = index.columns.difference(["dose", "cells"])
    with h5py.File(folder / DRAWS, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", index.astype(dict.fromkeys(text, "category")).set_axis(index.index.astype(str), axis=0))
        write_elem(file, "var", pd.DataFrame(index=store.var_names))
        x = file.create_dataset("X", (len(index), store.n_vars), "<f4", fill_time="never")
        x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for number, (part, condition, members) in enumerate(groups):
            words = (part, *(condition[c] for c in SORTED_BY))
            rng = np.random.default_rng(derive(settings.seed, *words))
            x[number * n_draws : (number + 1) * n_draws] = _draw(store, members, settings, rng)
            tell(f"{(number + 1) * n_draws:,} of {len(index):,} draws")


def _draw(store: CellStore, members: np.ndarray, settings: DrawSettings, rng: np.random.Generator) -> np.ndarray:
    """Average cells of one condition into draws [draw, gene]."""
    size, n_draws = settings.cells_per_draw, settings.draws_per_condition
    if len(members) < size:
        chosen = rng.integers(len(members), size=(n_draws, size))
    else:
        chosen = rng.random((n_draws, len(members))).argpartition(size - 1, axis=1)[:, :size]
    used, place = np.unique(chosen, return_inverse=True)
    space: Space = store.space  # type: ignore[assignment]
    x = convert(store.values(members[used]), space, settings.space)
    weights = np.full(n_draws * size, 1 / size, dtype=np.float32)
    assignment = sp.csr_matrix((weights, place.ravel(), np.arange(0, n_draws * size + 1, size)), (n_draws, len(used)))
    made: np.ndarray = (assignment @ x).toarray()
    return made
