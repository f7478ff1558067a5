"""Entries of a matrix become blocks of cells, in whatever order they come, and are never all in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.readers import text_tables
from benchmarks.data.readers.blocks import Grid, csr_blocks, make_entries
from benchmarks.data.readers.tenx import Triplet, triplet_blocks
from benchmarks.errors import DataError
from tests.unit.datasets import upstream_files as upstream
from tests.unit.datasets.memory import peak_of


def chunked(x: sp.coo_matrix, order: np.ndarray, size: int) -> list[np.ndarray]:
    """Entries of a matrix in some order, some at once."""
    cell, gene, value = x.row[order], x.col[order], x.data[order]
    return [
        make_entries(cell[i : i + size], gene[i : i + size], value[i : i + size]) for i in range(0, len(order), size)
    ]


@settings(max_examples=40, deadline=None)
@given(
    n_cells=st.integers(1, 23),
    block=st.integers(1, 9),
    size=st.integers(1, 40),
    by_cell=st.booleans(),
    seed=st.integers(0, 9),
)
def test_blocks_are_the_matrix_in_whatever_order_entries_come(n_cells, block, size, by_cell, seed):
    generator = np.random.default_rng(seed)
    dense = generator.poisson(0.4, (n_cells, 6))
    dense[0, 0] = 3
    x = sp.coo_matrix(dense)
    order = np.lexsort((x.col, x.row)) if by_cell else generator.permutation(x.nnz)
    grid = Grid(np.arange(n_cells), 6, "test", block, by_cell=by_cell)
    blocks = list(csr_blocks(chunked(x, order, size), grid))
    assert [b.shape[0] for b in blocks[:-1]] == [block] * (len(blocks) - 1)
    np.testing.assert_array_equal(sp.vstack(blocks).toarray(), dense)


def test_cells_are_left_out_and_renumbered():
    x = sp.coo_matrix(np.arange(12).reshape(4, 3))
    rows = np.array([1, -1, 0, -1])
    (block,) = csr_blocks(chunked(x, np.arange(x.nnz), 4), Grid(rows, 3, "test", by_cell=False))
    np.testing.assert_array_equal(block.toarray(), x.toarray()[[2, 0]])


def test_entries_that_stop_being_sorted_or_are_outside_are_refused():
    x = sp.coo_matrix(np.ones((6, 2)))
    chunks = chunked(x, np.array([0, 1, 2, 3, 10, 11, 4, 5]), 4)
    with pytest.raises(DataError, match="sorted by cell"):
        list(csr_blocks(chunks, Grid(np.arange(6), 2, "test.mtx")))
    with pytest.raises(DataError, match=r"test.mtx has entries for genes 1 to 2"):
        list(csr_blocks(chunks, Grid(np.arange(6), 1, "test.mtx")))
    with pytest.raises(DataError, match="no entry"):
        list(csr_blocks([], Grid(np.arange(6), 1, "test.mtx")))


def test_nothing_is_left_on_the_disk_when_reading_stops_half_way(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    x = sp.coo_matrix(np.ones((6, 2)))
    blocks = csr_blocks(chunked(x, np.arange(x.nnz)[::-1], 5), Grid(np.arange(6), 2, "test", 2))
    next(blocks)
    assert list(tmp_path.rglob("*"))
    blocks.close()
    assert not list(tmp_path.rglob("*"))


def test_no_room_to_sort_says_where_and_what_to_do(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmarks.data.readers.blocks._deal", full)
    x = sp.coo_matrix(np.ones((3, 2)))
    with pytest.raises(DataError, match=r"No space left on device.*TMPDIR"):
        list(csr_blocks(chunked(x, np.arange(x.nnz), 9), Grid(np.arange(3), 2, "big.mtx", by_cell=False)))


@pytest.mark.parametrize("order", ["by cell", "by gene"])
def test_reading_a_10x_matrix_takes_no_more_memory_if_it_is_longer(order, tmp_path, monkeypatch):
    monkeypatch.setattr(text_tables, "ROWS_PER_CHUNK", 2_000)
    n_genes, per_cell, peaks = 500, 50, []
    for n_cells in (3_000, 9_000):
        cell = np.repeat(np.arange(n_cells), per_cell)
        gene = np.tile(np.arange(per_cell) * 10, n_cells)
        if order == "by gene":
            cell, gene = (a.reshape(n_cells, per_cell).T.ravel() for a in (cell, gene))
        head = f"%%MatrixMarket matrix coordinate integer general\n{n_genes} {n_cells} {len(cell)}\n"
        body = pd.DataFrame({"g": gene + 1, "c": cell + 1, "v": 1}).to_csv(sep=" ", header=False, index=False)
        path = upstream.write(tmp_path / "matrix.mtx", head + body)
        peak, total = peak_of(triplet_blocks(Triplet(path, path, path), np.arange(n_cells), n_genes, 100))
        assert total == 8 * len(cell)
        peaks.append(peak)
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < total
