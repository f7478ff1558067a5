"""Prepared cells: what is written is what was read, in any order and any cutting; damage and refusals are told."""

from __future__ import annotations

import shutil
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.data.store.atomic_files import make_once, need_space
from benchmarks.data.store.cell_store import ABOUT, CELLS, SORTED_BY, CellStore
from benchmarks.data.store.content_hash import digest
from benchmarks.data.store.store_writer import Spool, write_cells
from benchmarks.errors import DataError, StoreError
from tests.conftest import make_cells

SIZES = {(c, p): n for c in ("y", "x") for p, n in (("B", 7), ("control", 9), ("A", 5), ("A+B", 4))}


def screen() -> anndata.AnnData:
    """Cells whose conditions lie mixed up, of two batches and doses; one gene is in no cell."""
    cells = make_cells(SIZES, n_genes=13)
    rng = np.random.default_rng(3)
    cells.X = sp.csr_matrix(cells.X.multiply(rng.random(cells.shape) < 0.4) + sp.csr_matrix(np.eye(50, 13)[:, :13] + 1))
    cells.X = sp.csr_matrix(cells.X.toarray() * (np.arange(13) != 4), dtype=np.float32)
    cells.obs["batch"] = rng.choice(["b1", "b2"], cells.n_obs)
    cells.obs["dose"] = np.where(cells.obs["perturbation"] == "A", rng.choice([10.0, 100.0], cells.n_obs), np.nan)
    return cells[rng.permutation(cells.n_obs)].copy()


def cut(cells: anndata.AnnData, size: int) -> Iterator[anndata.AnnData]:
    for start in range(0, cells.n_obs, size):
        yield cells[start : start + size].copy()


def write(folder: Path, cells: anndata.AnnData, size: int = 8, run_bytes: int = 400) -> CellStore:
    folder.mkdir()
    write_cells(folder, cut(cells, size), dataset="test", space="counts", run_bytes=run_bytes)
    return CellStore.open(folder)


@pytest.mark.parametrize(("size", "run_bytes"), [(1, 1), (8, 400), (50, 400), (50, 1 << 20), (7, 1 << 20)])
def test_what_is_written_is_what_was_read_however_it_is_cut(tmp_path, size, run_bytes):
    cells = screen()
    store = write(tmp_path / "s", cells, size, run_bytes)
    assert store.digest == digest(cells) == store.recompute_digest()
    found = store.to_memory()
    np.testing.assert_array_equal(found.X.toarray(), cells.X.toarray())
    assert found.obs.equals(cells.obs[found.obs.columns])
    assert list(found.var_names) == list(cells.var_names)
    assert {path.name for path in store.folder.iterdir()} == {CELLS, ABOUT}


@pytest.mark.parametrize("odd", [0.5, -0.0, -1.0, 65_535.0, 65_536.0, 1e30])
@pytest.mark.parametrize("cell", [0, 25, 49])
def test_values_that_do_not_fit_into_two_bytes_are_kept_to_the_bit(tmp_path, odd, cell):
    cells = screen()
    cells.X.data[cells.X.indptr[cell]] = odd
    folder = tmp_path / "s"
    folder.mkdir()
    write_cells(folder, cut(cells, 8), dataset="test", space="zscore", run_bytes=400)
    store = CellStore.open(folder)
    assert store.digest == digest(cells) == store.recompute_digest()
    assert store.to_memory().X.data.tobytes() == cells.X.data.tobytes()


def test_the_spool_of_counts_takes_half_of_the_stores_space(tmp_path, monkeypatch):
    cells, sizes = screen(), []
    finish = Spool.finish

    def measured(spool):
        found = finish(spool)
        sizes.append(sum(path.stat().st_size for path in spool._paths))
        return found

    monkeypatch.setattr(Spool, "finish", measured)
    write(tmp_path / "s", cells)
    assert sizes == [4 * cells.X.nnz]


def test_cells_are_found_by_their_labels_and_read_in_the_order_asked_for(tmp_path):
    cells = screen()
    store = write(tmp_path / "s", cells)
    rows = store.rows(context="x", perturbation="A", dose=10.0)
    expected = (cells.obs["context"] == "x") & (cells.obs["perturbation"] == "A") & (cells.obs["dose"] == 10)
    np.testing.assert_array_equal(rows, np.flatnonzero(expected))
    assert len(store.rows(dose=np.nan)) == (cells.obs["dose"].isna()).sum()
    twice = np.array([30, 2, 2, 49, 0])
    np.testing.assert_array_equal(store.values(twice).toarray(), cells.X[twice].toarray())
    asked = np.array([30, 2, 49, 0])
    found = store.read(asked)
    np.testing.assert_array_equal(found.X.toarray(), cells.X[asked].toarray())
    assert list(found.obs_names) == list(cells.obs_names[asked])
    assert store.values(np.array([], dtype=int)).shape == (0, 13)
    with pytest.raises(DataError, match="no cell with context x, perturbation Z"):
        store.rows(context="x", perturbation="Z")
    with pytest.raises(DataError, match="found by 'line'"):
        store.rows(line="x")


def test_on_disk_cells_are_sorted_by_condition_and_anndata_reads_them(tmp_path):
    cells = screen()
    store = write(tmp_path / "s", cells)
    stored = anndata.read_h5ad(store.folder / CELLS)
    labels = stored.obs[list(SORTED_BY)].astype({c: str for c in SORTED_BY if c != "dose"})
    assert labels.equals(labels.sort_values(list(SORTED_BY), kind="stable"))
    np.testing.assert_array_equal(stored.X.toarray(), cells.X[stored.obs["position"].to_numpy()].toarray())
    table = store.conditions
    assert table["start"].iloc[0] == 0
    assert table["stop"].iloc[-1] == cells.n_obs
    np.testing.assert_array_equal(table["start"].iloc[1:], table["stop"].iloc[:-1])
    assert not table[list(SORTED_BY)].duplicated().any()


def test_blocks_go_through_every_cell_once(tmp_path):
    cells = make_cells({("x", "A"): 300, ("x", "control"): 300}, n_genes=700)
    store = write(tmp_path / "s", cells, 100)
    blocks = list(store.blocks(n_bytes=300_000))
    assert len(blocks) > 3
    places = np.concatenate([block.obs["position"] for block in blocks])
    assert sorted(places) == list(range(cells.n_obs))
    np.testing.assert_array_equal(sp.vstack([b.X for b in blocks]).toarray(), cells.X[places].toarray())


def test_only_what_is_asked_for_is_read(tmp_path):
    cells = make_cells({("x", "A"): 400, ("x", "control"): 400}, n_genes=500)
    store = write(tmp_path / "s", cells, 100, 1 << 20)
    tracemalloc.start()
    store.values(np.arange(10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < store.n_bytes / 10


def test_blocks_are_let_go_while_cells_are_written(tmp_path):
    """Peak memory stays near the size of a run, whatever the number of cells."""
    one = make_cells({("x", "A"): 50, ("x", "control"): 50}, n_genes=1000)

    def blocks(n: int) -> Iterator[anndata.AnnData]:
        for i in range(n):
            yield anndata.AnnData(one.X, one.obs.set_axis([f"{i}-{name}" for name in one.obs_names]), one.var)

    peaks = []
    for n in (5, 40):
        (tmp_path / str(n)).mkdir()
        tracemalloc.start()
        write_cells(tmp_path / str(n), blocks(n), dataset="test", space="counts", run_bytes=1 << 20)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (tmp_path / "40" / CELLS).stat().st_size > 30e6
    assert peaks[1] < 16e6
    assert peaks[1] < 2 * peaks[0]


def other_genes(cells: anndata.AnnData) -> None:
    cells.var_names = [f"h{i}" for i in range(cells.n_vars)]


def fraction(cells: anndata.AnnData) -> None:
    cells.X.data[0] = 0.5


def lone_context(cells: anndata.AnnData) -> None:
    cells.obs["context"] = "z"
    cells.obs["perturbation"], cells.obs["is_control"] = "A", False


def same_names(cells: anndata.AnnData) -> None:
    cells.obs_names = ["cell0", *cells.obs_names[1:]]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_genes, "different genes"),
        (fraction, "fractions"),
        (lone_context, "no control cells in context z"),
        (same_names, "cell names occur more than once"),
    ],
)
def test_what_is_wrong_in_a_later_block_or_between_blocks_is_refused(tmp_path, spoil, words):
    first, second = make_cells({("x", "A"): 5, ("x", "control"): 5}), make_cells({("x", "B"): 5, ("x", "control"): 5})
    second.obs_names = [f"later{i}" for i in range(10)]
    spoil(second)
    with pytest.raises(DataError, match=words):
        write_cells(tmp_path, iter([first, second]), dataset="test", space="counts")


def test_no_cells_at_all_are_refused(tmp_path):
    with pytest.raises(DataError, match="gave no cells"):
        write_cells(tmp_path, iter([]), dataset="test", space="counts")


def test_damage_is_told_and_a_changed_value_changes_the_digest(tmp_path):
    store = write(tmp_path / "s", screen())
    content = bytearray((store.folder / CELLS).read_bytes())
    place = content.rfind(np.float32(3).tobytes())
    content[place : place + 4] = np.float32(5).tobytes()
    (store.folder / CELLS).write_bytes(content)
    for read in (
        CellStore.to_memory,
        CellStore.recompute_digest,
        lambda s: s.values(np.arange(50)),
        lambda s: [*s.blocks()],
    ):
        with pytest.raises(DataError, match="damaged"):
            read(CellStore.open(store.folder))
    (store.folder / CELLS).write_bytes(content[:5000])
    with pytest.raises(DataError, match="prepare"):
        CellStore.open(store.folder)
    (store.folder / ABOUT).write_text('{"format": "cycseq-cells", "version": 0}')
    with pytest.raises(DataError, match="this release reads cycseq-cells 2"):
        CellStore.open(store.folder)
    with pytest.raises(DataError, match="no readable store"):
        CellStore.open(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [CELLS, ABOUT])
def test_no_flipped_bit_goes_unseen(tmp_path, name):
    store = write(tmp_path / "s", screen())
    path, expected = store.folder / name, store.to_memory().X.toarray()
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.choice(len(whole), 150, replace=len(whole) < 150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = CellStore.open(store.folder).to_memory()
        except DataError:
            continue
        assert name == ABOUT, "every byte of the cells counts"
        np.testing.assert_array_equal(found.X.toarray(), expected)  # a blank, or the case of a letter of an escape


def test_rows_in_many_blocks_are_read_as_they_were_written(tmp_path):
    """Blocks of a few rows each; rows of two neighbours, of one block, from far apart and all of them."""
    cells = make_cells({("x", "A"): 300, ("x", "control"): 300}, n_genes=700)
    cells.X = sp.csr_matrix(
        cells.X.multiply(np.random.default_rng(1).random(cells.shape) < np.linspace(0.1, 1, 600)[:, None])
    )
    store = write(tmp_path / "s", cells, 100, 1 << 18)
    rng = np.random.default_rng(0)
    for rows in ([0], [599, 0], [5, 5, 4], range(20, 90), range(600), rng.permutation(600), rng.choice(600, 40)):
        asked = np.array(list(rows))
        np.testing.assert_array_equal(store.values(asked).toarray(), cells.X[asked].toarray())
    assert store.recompute_digest() == store.digest == digest(cells)
    np.testing.assert_array_equal(store.to_memory().X.toarray(), cells.X.toarray())


def test_an_interrupted_making_leaves_nothing_that_looks_whole(tmp_path):
    def stop(folder: Path) -> None:
        (folder / CELLS).write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once(tmp_path / "s", stop)
    assert [path.name for path in tmp_path.iterdir()] == [".s.lock"]
    killed = tmp_path / ".s.killed"
    killed.mkdir()
    (killed / CELLS).write_text("half, of a process that was killed")
    assert make_once(tmp_path / "s", lambda folder: (folder / ABOUT).touch())
    assert not killed.exists()
    assert not make_once(tmp_path / "s", stop), "it is there, so nothing is made"


def test_of_two_at_once_one_makes_and_the_other_waits(tmp_path):
    made, said = [], []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.3)
        (folder / ABOUT).touch()

    threads = [threading.Thread(target=make_once, args=(tmp_path / "s", make, said.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert said == ["another process is making s; waiting for it"]
    assert (tmp_path / "s" / ABOUT).is_file()


def test_a_disk_that_refuses_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written.*CYCSEQ_CACHE"):
        make_once(tmp_path / "file" / "s", lambda folder: None)

    def full(folder: Path) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(StoreError, match="No space left"):
        make_once(tmp_path / "s", full)
    assert not (tmp_path / "s").exists()
    free = shutil.disk_usage(tmp_path).free
    need_space(tmp_path, 0, "This")
    with pytest.raises(StoreError, match="are free"):
        need_space(tmp_path, free + 1, "This")
