"""Files that a child is trained from: the same as in memory, mapped, and no more than its record asks for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks.conformance.checks import Screen
from benchmarks.contract import Train
from benchmarks.data.store.content_hash import digest
from benchmarks.execution.models import unit_files
from benchmarks.execution.models.unit_files import get_train, put_train
from benchmarks.training_data import Profiles, TrainingData


def test_what_is_written_is_read_again(screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_files, "CELLS_AT_ONCE", 7)  # several parts, the last one shorter
    put_train(screen.train, tmp_path)
    train = get_train(tmp_path)
    assert train.genes == screen.train.genes
    pd.testing.assert_frame_equal(train.profiles.labels, screen.train.profiles.labels)
    for name in ("mean", "variance"):
        np.testing.assert_array_equal(getattr(train.profiles, name), getattr(screen.train.profiles, name))
    assert digest(train.controls) == digest(screen.train.controls)
    assert digest(train.cells) == digest(screen.train.cells)
    pd.testing.assert_frame_equal(train.cells.obs, screen.train.cells.obs)
    batches = zip(train.batches(50, 3), screen.train.batches(50, 3), strict=True)
    for (x, obs), (expected, labels) in batches:
        np.testing.assert_array_equal(x.toarray(), expected.toarray())
        pd.testing.assert_frame_equal(obs, labels)


def is_mapped(array: np.ndarray) -> bool:
    """Whether an array is a view of a mapped file."""
    return isinstance(array, np.memmap) or (isinstance(array.base, np.ndarray) and is_mapped(array.base))


def test_values_are_mapped_and_a_change_stays_in_the_process(screen: Screen, tmp_path: Path) -> None:
    put_train(screen.train, tmp_path)
    train = get_train(tmp_path)
    cells = train.cells
    assert is_mapped(cells.X.data)
    assert is_mapped(cells.X.indices)
    assert not is_mapped(train.take(np.arange(5)).data)  # no pages are kept
    cells.X.data[:] = 0
    assert digest(get_train(tmp_path).cells) == digest(screen.train.cells)


def test_no_single_cell_but_controls_is_written_for_a_model_of_profiles(screen: Screen, tmp_path: Path) -> None:
    put_train(screen.train, tmp_path, "profiles")
    train = get_train(tmp_path)
    assert train.controls.obs["is_control"].all()
    with pytest.raises(FileNotFoundError):
        _ = train.cells
    with pytest.raises(FileNotFoundError):
        next(train.batches(8, 0))
    names = {path.stem for path in tmp_path.iterdir()}
    assert names == {"train", "train_controls", "train_mean", "train_variance"}


def test_values_are_written_without_holding_them(tmp_path: Path) -> None:
    n_genes = 200

    class Made(TrainingData):
        """Cells that are made when they are read."""

        genes = tuple(f"g{i}" for i in range(n_genes))

        def __init__(self, n_cells: int) -> None:
            self.labels = pd.DataFrame({"context": pd.Categorical(["a"] * n_cells)})

        @property
        def obs(self) -> pd.DataFrame:
            return self.labels

        @property
        def profiles(self) -> Profiles:
            raise NotImplementedError

        def take(self, rows: np.ndarray) -> sp.csr_matrix:
            return sp.csr_matrix(np.ones((len(rows), n_genes), dtype=np.float32))

    def peak(n_cells: int) -> int:
        data = Made(n_cells)
        tracemalloc.start()
        unit_files._put_values(tmp_path / str(n_cells), data)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert np.load(tmp_path / f"{n_cells}_data.npy").sum() == n_cells * n_genes
        return found

    values = 8 * n_genes * 16_000
    assert peak(20_000) - peak(4_000) < values / 10


def test_a_train_of_files_is_one_of_a_contract(screen: Screen, tmp_path: Path) -> None:
    put_train(screen.train, tmp_path)
    train = get_train(tmp_path, workdir=tmp_path)
    assert isinstance(train, Train)
    assert (train.workdir, train.space, train.annotation) == (tmp_path, screen.train.space, screen.train.annotation)
