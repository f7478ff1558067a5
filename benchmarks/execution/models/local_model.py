"""A predictor in this process, with the checks of the contract around every call."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import Baseline, Needs, Persistent, Prediction, Predictor, Profiles, Query, Train
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import ContractError, Unsupported
from benchmarks.training_data import TrainingData

READ_BY: Mapping[Needs, str] = {
    "profiles": "train.profiles and train.controls",
    "blocks": "train.obs, train.take or train.batches",
    "cells": "train.cells",
}
"""How `fit` reads what a record asks for."""


class LocalModel:
    """A predictor in this process, from a record of the registry and keyword arguments of its `build`.

    Every call raises `Unsupported` where a package of the record's `extra` is not installed, and `ContractError` if what was
    built lacks `fit` or `predict`, or does something against the contract.
    """

    seconds = 0.0
    """Seconds that the last `fit` or `predict` took inside the predictor."""
    peak_memory_mb = 0.0
    """Peak memory of the process it runs in and the largest of its children, after the last call."""

    def __init__(self, record: Baseline, settings: Mapping[str, object]) -> None:
        self.extra, self.needs = record.extra, record.needs
        with needing(self.extra):
            self.predictor = record.build(**settings)
        if not isinstance(self.predictor, Predictor):
            kind = type(self.predictor).__name__
            raise ContractError(f"build returned a {kind} without the methods fit and predict.")
        self.persistent = isinstance(self.predictor, Persistent)
        self.asked: AnnData | None = None
        """Cells of the last query."""

    def fit(self, train: Train, *, seed: int) -> None:
        """Train it, and check that it left the cells that it read as they were."""
        data = self.read = _Reading(train.data, self.needs)
        with self._timed():
            self.predictor.fit(replace(train, data=data), seed=seed)
        if data.changed():
            raise ContractError("fit changed its training cells; work on a copy (train.cells.copy()).")

    def predict(self, query: Query) -> Prediction:
        """Answer one query, and check the answer."""
        if query.cells is not self.asked:
            self.asked, self.before = query.cells, query.cells.copy()
        # the same values under an AnnData of its own: what a predictor adds, such as `obsm`, is in no other question
        cells = AnnData(X=query.cells.X, obs=query.cells.obs.copy(), var=pd.DataFrame(index=query.cells.var_names))
        with self._timed():
            prediction = self.predictor.predict(replace(query, cells=cells))
        if not _are_equal(cells, self.before):
            self.asked = None
            raise ContractError("predict changed its input cells; work on a copy (query.cells.copy()).")
        genes = tuple(query.cells.var_names)
        if not isinstance(prediction, Prediction):
            raise ContractError(
                f"predict returned a {type(prediction).__name__}; expected a benchmarks.contract.Prediction."
            )
        if prediction.values.shape[1] != len(genes):
            raise ContractError(
                f"predict returned {prediction.values.shape[1]} genes; the query has {len(genes)}. Return one column for "
                "each of query.cells.var_names, in that order."
            )
        if prediction.genes is not None and tuple(prediction.genes) != genes:
            wrong = next((g for g, h in zip(prediction.genes, genes, strict=False) if g != h), "?")
            raise ContractError(
                f"predict returned other genes or another order, first '{wrong}'; order the columns as query.cells.var_names."
            )
        # an array of its own: a predictor may write its next answer into the same one, before this one is scored
        return replace(prediction, values=prediction.values.copy())

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        self.predictor.save(folder)  # type: ignore[attr-defined]

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        with needing(self.extra):
            self.predictor.load(folder)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Do nothing."""

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Measure time and memory of a call."""
        with needing(self.extra):
            start = time.perf_counter()
            yield
            self.seconds = time.perf_counter() - start
        self.peak_memory_mb = peak_memory_mb()


class _Reading(TrainingData):
    """Training data that refuse what a record does not ask for, and remember digests of the cells that are read."""

    def __init__(self, data: TrainingData, needs: Needs) -> None:
        self.data, self.needs, self.genes = data, needs, data.genes
        self.before: dict[str, str] = {}
        self.most: Needs = "profiles"
        """The most that was read."""

    @property
    def obs(self) -> pd.DataFrame:
        """Labels of all training cells."""
        return self._allowed("blocks").obs

    def take(self, rows: np.ndarray) -> sp.csr_matrix:
        """Read the values of some training cells."""
        return self._allowed("blocks").take(rows)

    @property
    def profiles(self) -> Profiles:
        """Number, mean and variance of the cells of every condition."""
        return self.data.profiles

    @property
    def controls(self) -> AnnData:
        """Training controls."""
        return self._remembered("controls", self.data)

    @property
    def cells(self) -> AnnData:
        """All training cells."""
        return self._remembered("cells", self._allowed("cells"))

    def changed(self) -> bool:
        """Whether cells that were read are not as they were."""
        return any(digest(getattr(self.data, name)) != before for name, before in self.before.items())

    def _allowed(self, what: Needs) -> TrainingData:
        """Give the data if the record asks for them; each of `Needs` includes those before it."""
        rank = get_args(Needs).index
        if rank(what) > rank(self.needs):
            raise ContractError(
                f"fit read {READ_BY[what]}, and the record says needs={self.needs!r}; say needs={what!r}, or read less: "
                f"{READ_BY[self.needs]}."
            )
        self.most = max(self.most, what, key=rank)
        return self.data

    def _remembered(self, name: str, data: TrainingData) -> AnnData:
        cells: AnnData = getattr(data, name)
        if name not in self.before:
            self.before[name] = digest(cells)
        return cells


def _are_equal(cells: AnnData, others: AnnData) -> bool:
    """Whether two sets of input cells have the same values, stored alike, and the same labels and names."""
    one, other = cells.X, others.X
    return (
        type(one) is type(other)
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("data", "indices", "indptr"))
        and cells.obs.equals(others.obs)
        and cells.var_names.equals(others.var_names)
    )


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Turn a missing package into `Unsupported` with the command that installs the extra; "" leaves the error as it is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not extra:
            raise
        command = f"python -m pip install -e '.[{extra}]'"
        raise Unsupported(f"{error.name} is not installed; in the checkout, run: {command}") from error


def peak_memory_mb() -> float:
    """Peak resident memory of this process and the largest of its children, in MB."""
    scale = 1e6 if sys.platform == "darwin" else 1e3
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage also counts what the process was before it became this program
        own = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return (own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / scale
