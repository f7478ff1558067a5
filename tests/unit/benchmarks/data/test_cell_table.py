"""Views of cells: what is read by rows, by blocks and at once is the same, in memory and on disk."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data import cell_table
from benchmarks.data.cell_table import View, blocks, held, read, select, size_of
from benchmarks.data.expression_space import to_space
from benchmarks.data.row_hashes import row_hashes, table_hashes
from benchmarks.data.store.cell_store import CellStore
from benchmarks.data.store.store_writer import write_cells
from benchmarks.errors import DataError
from tests.conftest import make_cells

CELLS = make_cells({(c, p): n for c in "xy" for p, n in (("control", 9), ("A", 5), ("B", 7))}, n_genes=11)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> CellStore:
    folder = tmp_path_factory.mktemp("store")
    write_cells(folder, [CELLS[20:].copy(), CELLS[:20].copy()], dataset="test", space="counts", run_bytes=300)
    return CellStore.open(folder)


@pytest.fixture(params=["memory", "disk"])
def cells(request, store):
    return read(store) if request.param == "memory" else store


def test_select_and_convert_read_what_arrays_give(cells):
    x, rng = read(cells).X.toarray(), np.random.default_rng(0)
    kept = rng.random(len(x)) < 0.6
    some, space = to_space(select(cells, kept), "counts")
    some = View(some, some.obs, np.arange(some.n_obs), columns=np.array([1, 3, 8]))
    expected = np.log2(x / x.sum(axis=1, keepdims=True) * 10_000 + 1)[kept][:, [1, 3, 8]]
    assert space == "log2_cp10k"
    assert list(some.var_names) == list(cells.var_names[[1, 3, 8]])
    np.testing.assert_allclose(some.X[np.arange(some.n_obs)].toarray(), expected, rtol=1e-6)
    order = rng.permutation(some.n_obs)
    np.testing.assert_allclose(read(some, order).X.toarray(), expected[order], rtol=1e-6)
    assert list(read(some, order).obs_names) == list(cells.obs.index[kept][order])
    np.testing.assert_array_equal(read(cells).X.toarray(), x)


@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 1.0), at_once=st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_blocks_cover_every_cell_once(store, seed, share, at_once):
    rng = np.random.default_rng(seed)
    for cells in (read(store), store):
        view = to_space(select(cells, rng.random(len(cells.obs)) < 0.8), "counts")[0]
        positions = np.flatnonzero(rng.random(view.n_obs) < share)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cell_table, "CELLS_PER_BLOCK", at_once)
            found = list(blocks(view, positions))
        where = np.concatenate([np.empty(0, int), *(rows for rows, _ in found)])
        np.testing.assert_array_equal(np.sort(where), positions)
        for rows, x in found:
            for row, values in zip(rows, x, strict=True):
                np.testing.assert_array_equal(values.toarray(), view.X[[row]].toarray())


def test_stream_of_a_store_reads_at_most_so_many_bytes(store):
    pieces = list(store.stream(np.arange(store.n_obs), n_bytes=8 * 11 * 4))
    assert max(x.shape[0] for _, x in pieces) <= 4
    assert len(np.unique(np.concatenate([rows for rows, _ in pieces]))) == store.n_obs


def test_small_tables_are_held_in_memory(store, monkeypatch):
    assert size_of(store) == size_of(read(store))
    assert not isinstance(held(store), CellStore)
    monkeypatch.setattr(cell_table, "HELD_BYTES", size_of(store) - 1)
    assert held(store) is store


def test_cells_without_counts_are_refused_when_they_are_read():
    empty = make_cells({("x", "A"): 3})
    empty.X = sp.csr_matrix(empty.X.shape, dtype=np.float32)
    with pytest.raises(DataError, match="no count"):
        read(to_space(empty, "counts")[0])


def test_row_hashes_see_every_value_and_no_order():
    x = CELLS.X.toarray()
    hashes = row_hashes(x)
    assert len(np.unique(hashes)) == len(np.unique(x, axis=0))
    shuffled = sp.coo_matrix(x)
    order = np.random.default_rng(0).permutation(shuffled.nnz)
    again = sp.coo_matrix((shuffled.data[order], (shuffled.row[order], shuffled.col[order])), x.shape)
    np.testing.assert_array_equal(row_hashes(again), hashes)
    np.testing.assert_array_equal(row_hashes(sp.csc_matrix(x)), hashes)
    np.testing.assert_array_equal(row_hashes(sp.csc_matrix(np.eye(3)), least=2), np.zeros(3))
    x[0, 3] += 1
    assert (row_hashes(x) != hashes).sum() == 1
    assert row_hashes(np.eye(3), least=2).tolist() == [0, 0, 0]


def test_table_hashes_do_not_depend_on_where_cells_are(store):
    every = table_hashes(read(store))
    np.testing.assert_array_equal(table_hashes(store), every)
    np.testing.assert_array_equal(table_hashes(store, np.array([2, 30, 41])), every[[2, 30, 41]])
