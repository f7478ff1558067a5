"""Draws on disk: means of the right cells, none across parts, the same for everybody who asks for the same."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest

from benchmarks.data.expression_space import to_space
from benchmarks.data.store.cell_store import CellStore
from benchmarks.data.store.draws import DRAWS, DrawSettings, parts_of, sample
from benchmarks.data.store.store_writer import write_cells
from benchmarks.errors import DataError
from benchmarks.tasks.splits import split
from tests.conftest import make_cells

SETTINGS = DrawSettings(cells_per_draw=5, draws_per_condition=3)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellStore:
    """Two contexts × two perturbations; every cell's second gene says which cell it is."""
    monkeypatch.setenv("CYCSEQ_CACHE", str(tmp_path / "cache"))
    sizes = {(c, p): 24 for c in ("x", "y") for p in ("A", "B")} | {(c, "control"): 30 for c in ("x", "y")}
    cells = make_cells(sizes, n_genes=6)
    (tmp_path / "s").mkdir()
    write_cells(tmp_path / "s", [cells], dataset="test", space="counts")
    return CellStore.open(tmp_path / "s")


def test_a_draw_of_all_cells_of_a_condition_is_their_mean(store):
    parts = {"train": np.arange(store.n_obs)}
    made = sample(store, parts, DrawSettings(cells_per_draw=24, draws_per_condition=2))
    cells, _ = to_space(store.to_memory(), "counts")
    for context, perturbation in (("x", "A"), ("y", "B")):
        rows = made.rows("train", context=context, perturbation=perturbation)
        assert len(rows) == 2
        expected = cells[store.rows(context=context, perturbation=perturbation)].X.toarray().mean(axis=0)
        np.testing.assert_allclose(made.x[rows], [expected, expected], rtol=1e-5)


def test_draws_never_cross_the_parts_of_a_split(store):
    fold = split(store.obs, "unseen_context", 0)
    parts = parts_of(fold)
    made = sample(store, parts, SETTINGS)
    dense = to_space(store.to_memory(), "counts")[0].X.toarray()
    assert set(made.index["part"]) == set(parts)
    for part, rows in parts.items():
        low, high = dense[rows].min(axis=0), dense[rows].max(axis=0)
        drawn = made.x[made.rows(part)]
        assert (drawn >= low - 1e-5).all()
        assert (drawn <= high + 1e-5).all()
    held_out = made.index.query("part == 'train'")[["context", "perturbation"]].drop_duplicates()
    assert not set(map(tuple, held_out.to_numpy())) & {c.pair for c in fold.held_out}
    assert made.index.groupby("part", observed=True)["cells"].max()["control_a"] == 10, "a third of 30 controls"


def test_one_cell_in_two_parts_or_a_leaky_split_is_refused(store):
    with pytest.raises(DataError, match="disjoint"):
        sample(store, {"a": np.arange(5), "b": np.arange(4, 9)}, SETTINGS)
    with pytest.raises(DataError, match="disjoint"):
        sample(store, {}, SETTINGS)
    with pytest.raises(DataError, match="share cells"):
        parts_of(split(store.obs, "resampled", 0))
    with pytest.raises(DataError, match="cells_per_draw is 0"):
        DrawSettings(cells_per_draw=0)


def test_the_same_is_made_once_and_anything_else_apart(store):
    parts = {"a": np.arange(60), "b": np.arange(60, 156)}
    first = sample(store, parts, SETTINGS)
    stamp = (first.folder / DRAWS).stat().st_mtime_ns
    again = sample(store, {"b": parts["b"][::-1], "a": parts["a"]}, SETTINGS)
    assert (again.folder, (again.folder / DRAWS).stat().st_mtime_ns) == (first.folder, stamp)
    folders = {
        sample(store, parts, changed).folder
        for changed in (
            DrawSettings(5, 3, seed=1),
            DrawSettings(6, 3),
            DrawSettings(5, 4),
            DrawSettings(5, 3, space="raw"),
        )
    } | {sample(store, {"a": np.arange(61), "b": np.arange(61, 156)}, SETTINGS).folder, first.folder}
    assert len(folders) == 6


def test_one_conditions_draws_do_not_depend_on_the_others(store):
    whole = sample(store, {"train": np.arange(store.n_obs)}, SETTINGS)
    alone = sample(store, {"train": store.rows(context="y", perturbation="B")}, SETTINGS)
    np.testing.assert_array_equal(whole.x[whole.rows("train", context="y", perturbation="B")], alone.x)


def test_few_cells_are_drawn_with_replacement_and_nothing_is_read_that_was_not_asked_for(store):
    few = store.rows(context="x", perturbation="A")[:2]
    made = sample(store, {"train": few}, DrawSettings(cells_per_draw=50, draws_per_condition=4))
    pair = to_space(store.read(few), "counts")[0].X.toarray()
    weight = np.linalg.lstsq(pair.T, made.x.T, rcond=None)[0]
    np.testing.assert_allclose(weight.sum(axis=0), 1, atol=1e-4)
    assert len(np.unique(weight.round(4), axis=1).T) > 1
    with pytest.raises(DataError, match="No draw of part 'test'"):
        made.rows("test")


def test_anndata_reads_draws_and_the_map_is_of_the_file(store):
    made = sample(store, {"train": np.arange(store.n_obs)}, SETTINGS)
    stored = anndata.read_h5ad(made.folder / DRAWS)
    np.testing.assert_array_equal(stored.X, made.x)
    assert isinstance(made.x, np.memmap)
    assert list(stored.var_names) == list(store.var_names)
