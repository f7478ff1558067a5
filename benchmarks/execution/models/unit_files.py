"""Files of a unit of work: what is trained on, then one query at a time.

Cells are NumPy arrays without pickled objects, which every version of the packages reads alike; labels are JSON. Values of
training cells are written some cells at a time, and mapped into memory when they are read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from mmap import mmap
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import Needs, Prediction, Profiles, Query, Train
from benchmarks.data.store.checked_arrays import DAMAGED
from benchmarks.errors import ContractError, StoreError
from benchmarks.execution.prediction_store import arrays_of, prediction_of
from benchmarks.training_data import TrainingData

TRAIN, QUERY, ANSWER = "train", "query", "answer"
CELLS, CONTROLS, MEAN, VARIANCE = f"{TRAIN}_cells", f"{TRAIN}_controls", f"{TRAIN}_mean.npy", f"{TRAIN}_variance.npy"
CELLS_AT_ONCE = 2048
"""Cells whose values are written at a time."""


def put_train(train: Train, folder: Path, needs: Needs = "cells") -> None:
    """Write a `Train` but its progress function and working folder; training cells only where they are needed."""
    annotation = {gene: sorted(terms) for gene, terms in train.annotation.items()}
    names = {"space": train.space, "perturbation_type": train.perturbation_type, "device": train.device}
    (folder / f"{TRAIN}.json").write_text(json.dumps({**names, "annotation": annotation}), encoding="utf-8")
    _put_table(folder / f"{TRAIN}.npz", train.profiles.labels, genes=np.array(train.genes))
    _put_array(folder / MEAN, train.profiles.mean)
    _put_array(folder / VARIANCE, train.profiles.variance)
    _put_cells(folder / CONTROLS, train.controls)
    if needs != "profiles":
        _put_table(folder / f"{CELLS}.npz", train.data.obs)
        _put_values(folder / CELLS, train.data)


def get_train(folder: Path, **arguments: Any) -> Train:
    """Make a `Train` that reads what `put_train` wrote when it is asked for; `arguments` are further ones of its own."""
    labels = json.loads((folder / f"{TRAIN}.json").read_text(encoding="utf-8"))
    annotation = {gene: frozenset(terms) for gene, terms in labels.pop("annotation").items()}
    return Train(data=UnitFiles(folder), annotation=annotation, **labels, **arguments)


class UnitFiles(TrainingData):
    """What `put_train` wrote; arrays of cells are mapped, so that a change of them stays in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        labels, names = _get_table(folder / f"{TRAIN}.npz")
        self.labels = labels.reset_index(drop=True)
        self.genes = tuple(map(str, names["genes"]))

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Labels of all training cells."""
        return _get_table(self.folder / f"{CELLS}.npz")[0]

    @cached_property
    def profiles(self) -> Profiles:
        """Number, mean and variance of the cells of every condition."""
        mean, variance = (np.load(self.folder / name, mmap_mode="r") for name in (MEAN, VARIANCE))
        return Profiles(self.labels, mean, variance)

    @cached_property
    def controls(self) -> AnnData:
        """Training controls."""
        return _get_cells(self.folder / CONTROLS)

    @cached_property
    def cells(self) -> AnnData:
        """All training cells; values are read from the disk when they are used."""
        return _as_cells([self._values("data", "c"), self._values("indices", "c"), self._ends], self.obs, self.genes)

    def take(self, rows: np.ndarray) -> sp.csr_matrix:
        """Read the values of some training cells; the files are mapped for as long as that takes, so that no pages are kept."""
        data, indices, ends = self._values("data", "r"), self._values("indices", "r"), self._ends
        spans = [slice(ends[row], ends[row + 1]) for row in rows]
        own = np.cumsum([0, *(span.stop - span.start for span in spans)])
        parts = [np.concatenate([array[:0], *(array[span] for span in spans)]) for array in (data, indices)]
        return sp.csr_matrix((*parts, own), shape=(len(rows), len(self.genes)))

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where the values of each cell end."""
        return np.load(self.folder / f"{CELLS}_indptr.npy")

    def _values(self, name: str, mode: Literal["r", "c"]) -> np.ndarray:
        """Values ("data") or gene indices of all training cells, mapped."""
        return np.load(self.folder / f"{CELLS}_{name}.npy", mmap_mode=mode)


def put_query(query: Query, folder: Path, *, cells: bool = True) -> None:
    """Write a `Query`, with its cells unless they are those of the last one."""
    labels = {f.name: getattr(query, f.name) for f in fields(query) if f.name != "cells"}
    (folder / f"{QUERY}.json").write_text(json.dumps(labels), encoding="utf-8")
    if cells:
        _put_cells(folder / QUERY, query.cells)


def get_query(folder: Path, cells: AnnData | None = None) -> Query:
    """Read what `put_query` wrote, with these cells, if they are given."""
    labels = json.loads((folder / f"{QUERY}.json").read_text(encoding="utf-8"))
    return Query(cells=_get_cells(folder / QUERY) if cells is None else cells, **labels)


def put_answer(prediction: Prediction, folder: Path) -> None:
    """Write a `Prediction` in place of the last one, each array in a file of its own, which takes no checksum."""
    for old in folder.glob(f"{ANSWER}_*.npy"):
        old.unlink()
    for name, array in arrays_of(prediction).items():
        np.save(folder / f"{ANSWER}_{name}.npy", array)


def take_answer(folder: Path) -> Prediction:
    """Read what `put_answer` wrote; raises `StoreError` if it cannot be read."""
    files = {path.stem.removeprefix(f"{ANSWER}_"): path for path in folder.glob(f"{ANSWER}_*.npy")}
    try:
        return prediction_of({name: np.load(path, allow_pickle=False) for name, path in files.items()})
    except (*DAMAGED, ContractError) as error:
        raise StoreError(f"A prediction in {folder} cannot be read ({type(error).__name__}: {error}).") from error


def _put_array(path: Path, array: np.ndarray) -> None:
    """Write an array; one that is a whole file of NumPy's format is copied, so that it is never in memory."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap):
        shutil.copyfile(str(array.filename), path)
    else:
        np.save(path, array)


def _put_cells(path: Path, cells: AnnData) -> None:
    x = sp.csr_matrix(cells.X)
    values = {"data": x.data, "indices": x.indices, "indptr": x.indptr}
    _put_table(path.with_suffix(".npz"), cells.obs, genes=cells.var_names.to_numpy().astype(str), **values)


def _get_cells(path: Path) -> AnnData:
    obs, arrays = _get_table(path.with_suffix(".npz"))
    values = [arrays[name] for name in ("data", "indices", "indptr")]
    return _as_cells(values, obs, arrays["genes"])


def _as_cells(values: list[np.ndarray], obs: pd.DataFrame, genes: Any) -> AnnData:
    x = sp.csr_matrix(tuple(values), shape=(len(obs), len(genes)))
    return AnnData(X=x, obs=obs, var=pd.DataFrame(index=np.array(genes, dtype=object)))


def _put_table(path: Path, table: pd.DataFrame, **others: np.ndarray) -> None:
    """Write labels, a column of text as its different words and their numbers, and other arrays."""
    arrays = {"names": table.index.to_numpy().astype(str)}
    for column in table:
        values = table[column].to_numpy()
        if values.dtype == object:
            values, words = pd.factorize(values)
            arrays[f"words_{column}"] = np.asarray(words).astype(str)
        arrays[f"column_{column}"] = values
    np.savez(path, **arrays, **others)  # type: ignore[arg-type]


def _get_table(path: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Read what `_put_table` wrote."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    columns = {}
    for name in [name for name in arrays if name.startswith("column_")]:
        values, words = arrays.pop(name), arrays.pop(f"words_{name[7:]}", None)
        columns[name[7:]] = values if words is None else words.astype(object)[values]
    return pd.DataFrame(columns, index=arrays.pop("names").astype(object)), arrays


def _put_values(path: Path, data: TrainingData) -> None:
    """Write values and gene indices of all training cells, some cells at a time, and where each cell's end."""
    n_cells, ends = len(data.obs), [np.zeros(1, dtype=np.int64)]
    with _growing(f"{path}_data.npy", np.float32) as values, _growing(f"{path}_indices.npy", np.int32) as indices:
        for first in range(0, n_cells, CELLS_AT_ONCE):
            x = data.take(np.arange(first, min(first + CELLS_AT_ONCE, n_cells)))
            values.append(x.data)
            indices.append(x.indices)
            ends.append(ends[-1][-1] + x.indptr[1:].astype(np.int64))
    np.save(f"{path}_indptr.npy", np.concatenate(ends))


class _GrowingArray:
    """One-dimensional array in a file that is written part by part."""

    def __init__(self, handle: Any, kind: type[np.generic]) -> None:
        self.handle, self.kind, self.n = handle, np.dtype(kind), 0
        self._write_header()

    def append(self, part: np.ndarray) -> None:
        """Write the next values."""
        self.handle.write(np.ascontiguousarray(part, dtype=self.kind).data)
        self.n += len(part)

    def finish(self) -> None:
        """Write how many there are; NumPy leaves space for it in the header."""
        self.handle.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        about = {"descr": self.kind.str, "fortran_order": False, "shape": (self.n,)}
        np.lib.format.write_array_header_1_0(self.handle, about)


@contextmanager
def _growing(path: str, kind: type[np.generic]) -> Iterator[_GrowingArray]:
    with open(path, "wb") as handle:
        array = _GrowingArray(handle, kind)
        yield array
        array.finish()
