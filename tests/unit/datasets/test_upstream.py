"""The parts readers are made of: entries in blocks, gene names, labels, any h5ad; and how much memory they take."""

from __future__ import annotations

import tracemalloc

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.canonical import validate
from benchmarks.errors import DataError
from benchmarks.upstream import h5ad, text
from benchmarks.upstream.entries import Entries, Grid, csr_blocks, select
from benchmarks.upstream.genes import DATE_GENES, GeneMap, candidates, is_date, map_genes, only, restore, share
from benchmarks.upstream.h5ad import Keys, read_h5ad_blocks
from benchmarks.upstream.labels import Cells, Labelling, canonical_obs, is_control, name_perturbations, parse_doses
from benchmarks.upstream.tenx import Triplet, triplet_blocks
from tests.unit.datasets import upstream_files as upstream

# --- entries ---------------------------------------------------------------------------------------------------------


def chunked(x: sp.coo_matrix, order: np.ndarray, size: int) -> list[Entries]:
    """Entries of a matrix in some order, some at once."""
    cell, gene, value = x.row[order], x.col[order], x.data[order]
    return [Entries(cell[i : i + size], gene[i : i + size], value[i : i + size]) for i in range(0, len(order), size)]


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
    grid = Grid(n_cells, 6, "test", block, by_cell=by_cell)
    blocks = list(csr_blocks(chunked(x, order, size), grid))
    assert [b.shape[0] for b in blocks[:-1]] == [block] * (len(blocks) - 1)
    np.testing.assert_array_equal(sp.vstack(blocks).toarray(), dense)


def test_cells_are_left_out_and_renumbered():
    x = sp.coo_matrix(np.arange(12).reshape(4, 3))
    rows = np.array([1, -1, 0, -1])
    (block,) = csr_blocks(select(chunked(x, np.arange(x.nnz), 4), rows), Grid(2, 3, "test", by_cell=False))
    np.testing.assert_array_equal(block.toarray(), x.toarray()[[2, 0]])


def test_entries_that_stop_being_sorted_or_are_outside_are_refused():
    x = sp.coo_matrix(np.ones((6, 2)))
    chunks = chunked(x, np.array([0, 1, 2, 3, 10, 11, 4, 5]), 4)
    with pytest.raises(DataError, match="sorted by cell at its beginning and not later"):
        list(csr_blocks(chunks, Grid(6, 2, "test.mtx")))
    with pytest.raises(DataError, match=r"test.mtx has entries for genes 1 to 2, expected 1 to 1"):
        list(csr_blocks(chunks, Grid(6, 1, "test.mtx")))
    with pytest.raises(DataError, match="has no entry for any of the 6 cells"):
        list(csr_blocks([], Grid(6, 1, "test.mtx")))


def test_nothing_is_left_on_the_disk_when_reading_stops_half_way(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    x = sp.coo_matrix(np.ones((6, 2)))
    blocks = csr_blocks(chunked(x, np.arange(x.nnz)[::-1], 5), Grid(6, 2, "test", 2))
    next(blocks)
    assert list(tmp_path.rglob("*"))
    blocks.close()
    assert not list(tmp_path.rglob("*"))


def test_no_room_to_sort_says_where_and_what_to_do(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmarks.upstream.entries._deal", full)
    x = sp.coo_matrix(np.ones((3, 2)))
    with pytest.raises(DataError, match=r"needs room in .*: No space left on device. .* TMPDIR"):
        list(csr_blocks(chunked(x, np.arange(x.nnz), 9), Grid(3, 2, "big.mtx", by_cell=False)))


# --- memory ----------------------------------------------------------------------------------------------------------


def peak_of(blocks) -> tuple[int, int]:
    """Bytes held at most while blocks are read one by one, and bytes of all their values."""
    tracemalloc.start()
    try:
        total = sum(x.data.nbytes + x.indices.nbytes for x in blocks)
        return tracemalloc.get_traced_memory()[1], total
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("order", ["by cell", "by gene"])
def test_reading_a_10x_matrix_takes_no_more_memory_if_it_is_longer(order, tmp_path, monkeypatch):
    monkeypatch.setattr(text, "ROWS_PER_CHUNK", 2_000)
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


@pytest.mark.parametrize("layout", ["dense", "csr", "csc"])
def test_an_h5ad_is_never_held_whole(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(h5ad, "CELLS_PER_BLOCK", 128)
    monkeypatch.setattr(h5ad, "ENTRIES_PER_READ", 1 << 14)
    values = np.ones((2000, 1000), dtype=np.float32)
    make = {"dense": lambda x: x, "csr": sp.csr_matrix, "csc": sp.csc_matrix}[layout]
    path = upstream.modern(tmp_path / "big.h5ad", make(values), {"p": ["control"] * 2000})
    opened = h5ad.open_h5ad(path, Keys("p"))
    del values
    peak, total = peak_of(h5ad.matrix_blocks(opened))
    assert total == 16_000_000
    assert peak < total / 2


# --- gene names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "gene"),
    [
        ("2-Sep", "SEPTIN2"),
        ("02-Sep", "SEPTIN2"),
        ("Sep-02", "SEPTIN2"),
        ("SEPT-2", "SEPTIN2"),
        ("2-sep-19", "SEPTIN2"),
        ("2021-09-02", "SEPTIN2"),
        ("2021-09-02 00:00:00", "SEPTIN2"),
        ("15-Sep", "SELENOF"),
        ("3-Mar", "MARCHF3"),
        ("March-11", "MARCHF11"),
        ("1-Dec", "DELEC1"),
        ("SEPT7", "SEPTIN7"),
        ("MARCH1", "MARCHF1"),
        ("MARC1", "MTARC1"),
        ("SEP15", "SELENOF"),
    ],
)
def test_dates_and_former_symbols_become_the_gene(date, gene):
    assert restore([date, "TP53"], "test") == [gene, "TP53"]


@pytest.mark.parametrize("date", ["1-Mar", "2-Mar", "Mar-01", "4-Oct", "13-Sep", "9/2/2021"])
def test_dates_of_several_genes_or_none_are_refused(date):
    with pytest.raises(DataError, match=f"gene '{date}' is a date"):
        restore([date], "test")


def test_ids_and_the_other_genes_of_the_file_tell_what_a_date_was():
    assert restore(["1-Mar"], "test", ["ENSG00000186205.4"]) == ["MTARC1"]
    assert restore(["1-Mar", "MARC1"], "test") == ["MARCHF1", "MTARC1"]
    assert restore(["4-Oct"], "test", ["ENSG00000000001"]) == ["ENSG00000000001"]
    assert restore(["2-Sep+TP53"], "test") == ["SEPTIN2+TP53"]


@pytest.mark.parametrize(
    "symbol", ["TP53", "MARS1", "DECR1", "SEPSECS", "OCT4", "APR1", "HLA-A", "NOV", "MAYBE-1", "RP11-34P13.7"]
)
def test_ordinary_symbols_are_no_dates(symbol):
    assert not is_date(symbol)
    assert restore([symbol], "test") == [symbol]


def test_every_gene_that_becomes_a_date_can_be_found_again():
    months = {3: "Mar", 9: "Sep", 12: "Dec"}
    for gene in DATE_GENES:
        assert gene.symbol in candidates(f"{gene.day}-{months[gene.month]}")
        assert restore([f"{gene.day}-{months[gene.month]}"], "test", [gene.ensembl]) == [gene.symbol]
    assert len({gene.ensembl for gene in DATE_GENES}) == len({gene.symbol for gene in DATE_GENES}) == len(DATE_GENES)


def test_symbols_that_occur_twice_are_summed_or_named_by_id():
    x = sp.csr_matrix(np.arange(8, dtype=np.float32).reshape(2, 4))
    notes: list[str] = []
    genes = map_genes(["A", "B", "A", ""], "test", ["e1", "e2", "e3", "e4"], notes=notes)
    assert list(genes.names) == ["A", "B", "e4"]
    np.testing.assert_array_equal(genes.apply(x).toarray(), [[2, 1, 3], [10, 5, 7]])
    assert "1 symbols, such as A, name more than one gene" in notes[0]
    apart = map_genes(["A", "B", "A"], "test", ["e1", "e2", "e3"], summed=False)
    assert list(apart.names) == ["e1", "B", "e3"]
    with pytest.raises(DataError, match="genes occur more than once, such as 'A', and have no ids"):
        map_genes(["A", "B", "A"], "test", summed=False)
    with pytest.raises(DataError, match="gene 2 has no name"):
        map_genes(["A", " "], "test")


def test_files_are_cut_to_the_genes_they_share():
    one, two = share([map_genes(list("ABCD"), "1"), map_genes(list("DXBA"), "2")])
    assert list(one.names) == list(two.names) == ["A", "B", "D"]
    x = sp.csr_matrix([[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(one.apply(x).toarray(), [[1, 2, 4]])
    np.testing.assert_array_equal(two.apply(x).toarray(), [[4, 3, 1]])
    with pytest.raises(DataError, match="no gene in common"):
        share([map_genes(["A"], "1"), map_genes(["ENSG1"], "2")])


def test_genes_of_another_species_are_left_out():
    genes = only(GeneMap(pd.Index(list("ABC")), np.array([0, 1, 2, 0])), np.array([True, False, True, False]))
    np.testing.assert_array_equal(genes.apply(sp.csr_matrix([[1.0, 2.0, 3.0, 4.0]])).toarray(), [[1, 3]])
    assert list(genes.names) == ["A", "C"]


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label",
    ["control", "Control", "CTRL", "Non-Targeting", "non-targeting_00089", "NegCtrl10", "NT", "DMSO", "Vehicle"],
)
def test_controls_are_known_in_any_spelling(label):
    assert is_control(label)


@pytest.mark.parametrize("label", ["NT5E", "NTC4", "CTRL-like", "CTLA4", "TP53", "DMSO2"])
def test_genes_are_not_taken_for_controls(label):
    assert not is_control(label)


def test_combinations_are_sorted_and_lose_their_controls():
    labels = pd.Series(["KLF1_AHR", "AHR_ctrl", "ctrl_ctrl", "AHR_AHR", " Ctrl ", None, "nan"])
    notes: list[str] = []
    named = name_perturbations(labels, "test", Labelling(separator="_"), notes)
    assert list(named[:5]) == ["AHR+KLF1", "AHR", "control", "AHR", "control"]
    assert named[5:].isna().all()


def test_mixed_case_controls_are_told_and_missing_ones_refused():
    notes: list[str] = []
    labels = pd.Series(["dmso", "DMSO", "x"])
    assert list(name_perturbations(labels, "test", Labelling(controls=("Dmso",)), notes)) == ["control", "control", "x"]
    assert "controls are spelled in 2 ways (DMSO, dmso)" in notes[0]
    with pytest.raises(DataError, match=r"no cell is a control; expected 'PBS', it has labels such as DMSO, dmso, x"):
        name_perturbations(labels, "test", Labelling(controls=("PBS",)))


def test_doses_are_read_in_any_unit():
    values = pd.Series(["10", "1e3", "0.1 uM", "2 µM", "1mM", "5 nM", None, "NA", "0"])
    expected = [10, 1e3, 100, 2e3, 1e6, 5, np.nan, np.nan, 0]
    np.testing.assert_allclose(parse_doses(values, "test"), expected)
    np.testing.assert_allclose(parse_doses(pd.Series([0.5, 1.0]), "test", "uM"), [500, 1000])


@pytest.mark.parametrize("dose", ["high", "10 mg", "-5", "1..2", "inf", "10-100"])
def test_doses_that_are_no_numbers_are_refused(dose):
    with pytest.raises(DataError, match="1 cells have a dose that is not a number"):
        parse_doses(pd.Series(["1", dose]), "test")


def test_labels_that_cannot_be_canonical_are_refused():
    names = pd.Series(["control", "A"], index=["x", "y"])
    with pytest.raises(DataError, match="1 cells have no batch"):
        canonical_obs(Cells(names, "K562", pd.Series(["b", " "])), "test")
    with pytest.raises(DataError, match="cell 'x' occurs more than once"):
        canonical_obs(Cells(pd.Series(["control", "A"], index=["x", "x"]), "K562", "b"), "test")
    with pytest.raises(DataError, match="no control cells in context RPE1"):
        canonical_obs(Cells(names, pd.Series(["K562", "RPE1"]), "b"), "test")


# --- any h5ad --------------------------------------------------------------------------------------------------------

USER = {
    "gene": ["TP53+MYC", "NT", "TP53", "nt", "MYC", None],
    "line": ["K562", "K562", "K562", "RPE1", "RPE1", "RPE1"],
    "lane": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0],
    "dose": ["1 uM", "x", "10", "", "100", "5"],
}
KEYS = Keys("gene", context="line", batch="lane", dose="dose", labelling=Labelling(separator="+", controls=("NT",)))


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_any_h5ad_becomes_canonical(layout, tmp_path):
    values = upstream.draw(6, 5).astype(np.float64)
    notes: list[str] = []
    blocks = list(read_h5ad_blocks(upstream.modern(tmp_path / "mine.h5ad", layout(values), USER), KEYS, notes=notes))
    (cells,) = blocks
    validate(cells, dataset="mine", space="counts")
    np.testing.assert_array_equal(cells.X.toarray(), values[:5])
    assert list(cells.obs["perturbation"]) == ["MYC+TP53", "control", "TP53", "control", "MYC"]
    assert list(cells.obs["batch"]) == ["1", "2", "1", "2", "1"]
    np.testing.assert_array_equal(cells.obs["dose"], [1000, np.nan, 10, np.nan, 100])
    assert notes[0].startswith("mine.h5ad") or "spelled in 2 ways" in notes[0]
    assert any("1 of 6 cells have no perturbation label" in note for note in notes)


def test_layers_and_raw_are_read_where_they_are_asked_for(tmp_path):
    values = upstream.draw(4, 3).astype(np.float32)
    cells = AnnData(X=np.log1p(values), obs=pd.DataFrame({"p": ["control"] * 4}, index=list("abcd")))
    cells.var_names = ["A", "B", "C"]
    cells.layers["counts"] = values
    cells.raw = AnnData(X=sp.csr_matrix(values), obs=cells.obs, var=pd.DataFrame(index=["A", "B", "D"]))
    path = tmp_path / "layers.h5ad"
    cells.write_h5ad(path)
    for layer, genes in (("counts", "ABC"), ("raw", "ABD")):
        (block,) = read_h5ad_blocks(path, Keys("p", layer=layer))
        np.testing.assert_array_equal(block.X.toarray(), values)
        assert list(block.var_names) == list(genes)
    with pytest.raises(DataError, match=r"has no matrix 'umi'; it has X, raw, counts"):
        list(read_h5ad_blocks(path, Keys("p", layer="umi")))


def test_an_h5ad_without_what_is_asked_for_is_refused(tmp_path):
    path = upstream.modern(tmp_path / "mine.h5ad", upstream.draw(6, 5), USER)
    with pytest.raises(DataError, match=r"lacks the column\(s\) genes; it has gene, line, lane, dose"):
        list(read_h5ad_blocks(path, Keys("genes")))
    with pytest.raises(DataError, match=r"lacks the column\(s\) ensembl; it has symbol"):
        list(read_h5ad_blocks(path, Keys("gene", gene_ids="ensembl", labelling=KEYS.labelling)))
    (tmp_path / "none.h5ad").write_bytes(b"no hdf5")
    with pytest.raises(DataError, match="cannot be opened as h5ad"):
        list(read_h5ad_blocks(tmp_path / "none.h5ad", Keys("gene")))
    with h5py.File(path, "a") as handle:
        x = handle["X"][:]
        del handle["X"]
        handle["X"] = x.T
    with pytest.raises(DataError, match=r"X is \(5, 6\), but obs × var is \(6, 5\). It is transposed"):
        list(read_h5ad_blocks(path, KEYS))


def test_the_layout_of_anndata_before_0_7_is_read(tmp_path):
    values = sp.csr_matrix(upstream.draw(4, 3).astype(np.float32))
    path = tmp_path / "old.h5ad"
    with h5py.File(path, "w") as handle:
        matrix = handle.create_group("X")
        matrix.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": values.shape})
        for part in ("data", "indices", "indptr"):
            matrix[part] = getattr(values, part)
        obs = [(f"cell{i}".encode(), i % 2) for i in range(4)]
        handle["obs"] = np.array(obs, dtype=[("index", "S5"), ("condition", "i1")])
        handle["var"] = np.array([(b"A",), (b"B",), (b"C",)], dtype=[("index", "S1")])
        handle["uns/condition_categories"] = np.array([b"control", b"stimulated"])
    (block,) = read_h5ad_blocks(path, Keys("condition"))
    assert list(block.obs["perturbation"]) == ["control", "stimulated"] * 2
    np.testing.assert_array_equal(block.X.toarray(), values.toarray())
