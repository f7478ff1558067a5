"""Statistics of a fold's training cells, against NumPy on all cells at once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tasks import fold_statistics as module
from benchmarks.tasks.fold_statistics import FoldStatistics, fold_statistics, halve, kept_statistics
from benchmarks.training_data import labels_of

LARGE = 1000.0


def screen(n_cells: int, n_genes: int = 7, seed: int = 0, doses: bool = True) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    x = sp.random(n_cells, n_genes, 0.5, "csr", np.float32, random_state=rng)
    x.data += LARGE  # far from 0, so that sums of squares would lose digits
    obs = pd.DataFrame(
        {
            "context": rng.choice(["a", "b"], n_cells),
            "perturbation": rng.choice(["control", "G1", "G2"], n_cells),
            "dose": rng.choice([np.nan, 10.0], n_cells) if doses else np.nan,
        },
        index=[f"c{i}" for i in range(n_cells)],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))


class InBlocks:
    """A table that is read in blocks of given sizes."""

    def __init__(self, cells: ad.AnnData, sizes: list[int]) -> None:
        self.obs, self.var_names, self.X, self.sizes = cells.obs, cells.var_names, cells.X, sizes

    def stream(self, positions):
        ends = np.unique(np.clip(np.cumsum(self.sizes), 0, len(positions)))
        for rows in np.split(positions, ends):
            if len(rows):
                yield rows, self.X[rows]


def assert_equal(found: FoldStatistics, cells: ad.AnnData, train: np.ndarray, seed: int) -> None:
    labels = labels_of(cells.obs.iloc[train])
    halves, x = halve(labels, seed), cells.X[train].toarray().astype(np.float64)
    assert found.n.sum() == len(train)
    assert found.n_values == np.count_nonzero(x)
    for place, label in found.labels.iterrows():
        own = (labels == label).all(axis=1).to_numpy()
        for half in (0, 1):
            rows = x[own & (halves == half)]
            assert found.n[half, place] == len(rows)
            if len(rows):
                np.testing.assert_allclose(found.mean[half, place], rows.mean(axis=0), rtol=1e-12)
    profiles = found.profiles()
    for place, label in profiles.labels[["context", "perturbation", "dose"]].iterrows():
        rows = x[(labels == label).all(axis=1).to_numpy()]
        assert profiles.labels["n_cells"][place] == len(rows)
        np.testing.assert_allclose(profiles.mean[place], rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(profiles.variance[place], rows.var(axis=0), rtol=1e-9)


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 120), st.integers(0, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_statistics_are_those_of_numpy_and_do_not_depend_on_blocks(sizes, n_cells, seed, doses):
    cells = screen(n_cells, seed=seed, doses=doses)
    train = np.flatnonzero(np.random.default_rng(seed).random(n_cells) < 0.8)
    if not len(train):
        train = np.arange(n_cells)
    found = fold_statistics(InBlocks(cells, sizes), train, seed)
    assert_equal(found, cells, train, seed)
    whole = fold_statistics(cells, train, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART_BYTES", 3 * module.BYTES_PER_VALUE * cells.n_vars)  # three conditions at a time
        parts = fold_statistics(InBlocks(cells, sizes), train, seed)
    for name in ("n", "mean", "joined_mean", "variance", "n_values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_a_gene_that_does_not_vary_has_no_variance():
    cells = screen(200)
    cells.X = sp.csr_matrix(np.full(cells.shape, 0.1, dtype=np.float32))
    assert (fold_statistics(cells, np.arange(200), 0).profiles().variance == 0.0).all()


def test_memory_does_not_depend_on_the_number_of_cells():
    class Made:
        """Cells that are made when they are read."""

        def __init__(self, n_cells: int) -> None:
            self.var_names = pd.Index([f"g{i}" for i in range(500)])
            place = np.arange(n_cells)
            names = pd.Categorical.from_codes(place % 50, [f"G{i}" for i in range(50)])
            context = pd.Categorical.from_codes(place % 1, ["a"])
            self.obs = pd.DataFrame({"context": context, "perturbation": names, "dose": np.float32(np.nan)})

        def stream(self, positions):
            for rows in np.array_split(positions, len(positions) // 200):
                yield rows, sp.csr_matrix(np.ones((len(rows), 500), dtype=np.float32))

    def peak(n_cells: int) -> float:
        cells = Made(n_cells)
        tracemalloc.start()
        fold_statistics(cells, np.arange(n_cells), 0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(400)  # compiles
    values = 500 * 4.0 * 16_000
    assert peak(20_000) - peak(4_000) < values / 6  # labels alone grow


def test_statistics_are_made_once_and_kept(tmp_path):
    cells, made = screen(50), []

    def make(new: Path | None = None) -> FoldStatistics:
        made.append(1)
        return fold_statistics(cells, np.arange(50), 0, new)

    folder = tmp_path / "training" / "fold0"
    first, second = kept_statistics(folder, make), kept_statistics(folder, make)
    assert len(made) == 1
    pd.testing.assert_frame_equal(first.labels, second.labels)
    expected = make()
    for name in module.MAPPED:
        assert isinstance(getattr(second, name), np.memmap)
        np.testing.assert_array_equal(getattr(second, name), getattr(expected, name))
    assert second.n_values == expected.n_values


@pytest.mark.parametrize("name", [module.ABOUT, *(f"{name}.npy" for name in module.MAPPED)])
@pytest.mark.parametrize("harm", ["shorter", "another value", "gone"])
def test_damaged_statistics_are_made_again(tmp_path, name, harm):
    cells = screen(50)
    expected = fold_statistics(cells, np.arange(50), 0)
    folder = tmp_path / "fold0"
    kept_statistics(folder, lambda new: fold_statistics(cells, np.arange(50), 0, new))
    path = folder / name
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "shorter":
        path.write_bytes(content[:-40])
    else:
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 255]) + content[-8:])
    made = []
    found = kept_statistics(folder, lambda new: made.append(1) or fold_statistics(cells, np.arange(50), 0, new))
    assert made == [1]
    for array in module.MAPPED:
        np.testing.assert_array_equal(getattr(found, array), getattr(expected, array))
