"""Gene names and cell labels in every spelling that studies have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks.data.readers.gene_columns import DATE_GENES, GeneMap, candidates, map_genes, restore, share
from benchmarks.data.readers.labels import Labelling, canonical_obs, is_control, name_perturbations, parse_doses
from benchmarks.errors import DataError


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
        ("9/2/2021", "SEPTIN2"),
        ("2/9/2021", "SEPTIN2"),
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


@pytest.mark.parametrize("date", ["1-Mar", "2-Mar", "Mar-01", "4-Oct", "13-Sep", "3/1/2021", "1/3/2021"])
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
    assert candidates(symbol) is None
    assert restore([symbol], "test") == [symbol]


def test_day_numbers_are_dates_among_names_but_not_among_numbers():
    symbols = [f"GENE{i}" for i in range(30)]
    assert restore([*symbols, "44076"], "test") == [*symbols, "SEPTIN2"]
    numbers = [str(44000 + i) for i in range(200)]
    assert restore(numbers, "test") == numbers
    with pytest.raises(DataError, match="is a date"):
        restore([*symbols, "43891"], "test")


def test_every_gene_that_becomes_a_date_can_be_found_again():
    months = {3: "Mar", 9: "Sep", 12: "Dec"}
    for gene in DATE_GENES.itertuples():
        assert gene.symbol in candidates(f"{gene.day}-{months[gene.month]}")
        assert restore([f"{gene.day}-{months[gene.month]}"], "test", [gene.ensembl]) == [gene.symbol]
    assert DATE_GENES["ensembl"].is_unique
    assert DATE_GENES["symbol"].is_unique


def test_symbols_that_occur_twice_are_summed_or_named_by_id():
    x = sp.csr_matrix(np.arange(8, dtype=np.float32).reshape(2, 4))
    notes: list[str] = []
    genes = map_genes(["A", "B", "A", ""], "test", ["e1", "e2", "e3", "e4"], notes=notes)
    assert list(genes.names) == ["A", "B", "e4"]
    np.testing.assert_array_equal(genes.apply(x).toarray(), [[2, 1, 3], [10, 5, 7]])
    assert any("1 symbols, such as A, name more than one gene" in note for note in notes)
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
    genes = GeneMap(pd.Index(list("ABC")), np.array([0, 1, 2, 0])).only(np.array([True, False, True, False]))
    np.testing.assert_array_equal(genes.apply(sp.csr_matrix([[1.0, 2.0, 3.0, 4.0]])).toarray(), [[1, 3]])
    assert list(genes.names) == ["A", "C"]


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
        canonical_obs("test", names, "K562", pd.Series(["b", " "]))
    with pytest.raises(DataError, match=r"1 cell names .* 'x'"):
        canonical_obs("test", pd.Series(["control", "A"], index=["x", "x"]), "K562", "b")
    with pytest.raises(DataError, match="no control cells in context RPE1"):
        canonical_obs("test", names, pd.Series(["K562", "RPE1"]), "b")
