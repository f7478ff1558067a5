"""Gene names: every way a data set may write one, and none that is guessed."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data import cards
from benchmarks.data.gene_names import gene_table_of_card, read_gene_table, resolve
from benchmarks.data.harmonise import choose_genes, harmonise, intersect, measured, rename_perturbations
from benchmarks.errors import DataError

HGNC = """symbol\tstatus\talias_symbol\tprev_symbol\tensembl_gene_id
MARCHF1\tApproved\t"MARCH-I|RNF171"\tMARCH1\tENSG00000145416
MTARC1\tApproved\tMOSC1\tMARC1\tENSG00000186205
MARCHF5\tApproved\tMITOL\tMARCH5\tENSG00000198060
SEPTIN2\tApproved\t\tSEPT2\tENSG00000168385
SEPTIN6\tApproved\tSEPT2\tSEPT6\tENSG00000125354
DELEC1\tApproved\t\tDEC1\tENSG00000173077
BHLHE40\tApproved\tDEC1\t\tENSG00000134107
TP53\tApproved\tp53|LFS1\t\tENSG00000141510
C1orf112\tApproved\t\t\tENSG00000000460
A1\tApproved\tSHARED\t\t
A2\tApproved\tSHARED\t\t
GONE\tEntry Withdrawn\tOLDGONE\t\t
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "hgnc.txt.gz"
    path.write_bytes(gzip.compress(HGNC.encode()))
    return read_gene_table([path])


@pytest.mark.parametrize(
    ("given", "name", "how"),
    [
        ("TP53", "TP53", "kept"),
        (" TP53 ", "TP53", "kept"),
        ("Tp53", "TP53", "case"),
        ("C1ORF112", "C1orf112", "case"),
        ("P53", "TP53", "alias"),
        ("LFS1", "TP53", "alias"),
        ("RNF171", "MARCHF1", "alias"),
        ("MARCH1", "MARCHF1", "previous"),
        ("SEPT2", "SEPTIN2", "previous"),  # also an alias of SEPTIN6, but once approved for SEPTIN2
        ("ENSG00000141510", "TP53", "ensembl"),
        ("ENSG00000141510.17", "TP53", "ensembl"),
        ("ENSG00000141510.17_PAR_Y", "TP53", "ensembl"),
        ("ENSG99999999999.2", "ENSG99999999999", "unknown"),
        ("1-Mar", "1-Mar", "ambiguous"),
        ("2-Sep", "SEPTIN2", "date"),
        ("Sep-02", "SEPTIN2", "date"),
        ("5-Mar", "MARCHF5", "date"),
        ("2021-09-02", "SEPTIN2", "date"),
        ("2021-09-02 00:00:00", "SEPTIN2", "date"),
        ("2005-03-01", "2005-03-01", "ambiguous"),
        ("1-Dec", "DELEC1", "date"),
        ("4-Jul", "4-Jul", "unknown"),
        ("SHARED", "SHARED", "ambiguous"),
        ("TP53-1", "TP53-1", "unknown"),  # no TP53 beside it: nothing says that a number was added
        ("GONE", "GONE", "unknown"),
        ("OLDGONE", "OLDGONE", "unknown"),
        ("AC012345.1", "AC012345.1", "unknown"),
    ],
)
def test_every_spelling_of_a_gene(table, given, name, how):
    (row,) = resolve([given], table).itertuples()
    assert (row.name, row.how) == (name, how)
    assert bool(row.candidates) == (how == "ambiguous")


def test_an_ambiguous_name_says_between_which_genes(table):
    assert list(resolve(["SHARED", "1-Mar"], table)["candidates"]) == ["A1, A2", "MARCHF1, MTARC1"]


def test_a_number_added_to_a_repeated_name_is_taken_off_where_the_name_is_there(table):
    found = resolve(["TP53", "TP53-1", "TP53.2", "MT-ND1"], table)
    assert list(found["name"]) == ["TP53", "TP53", "TP53", "MT-ND1"]
    assert list(found["how"]) == ["kept", "suffix", "suffix", "unknown"]


def block(x, genes, **obs):
    x = np.asarray(x, dtype=np.float32)
    index = [f"c{i}" for i in range(len(x))]
    return AnnData(X=sp.csr_matrix(x), obs=pd.DataFrame(obs, index=index), var=pd.DataFrame(index=list(genes)))


NAMES = ("P53", "SHARED", "TP53", "XYZ")


def test_repeated_counts_are_summed_and_none_is_lost(table):
    cells = block([[1, 2, 4, 8], [0, 0, 3, 1]], NAMES)
    harmonised = harmonise(NAMES, table)
    after = harmonised.apply(cells, "counts")
    assert list(after.var_names) == ["TP53", "SHARED", "XYZ"]
    np.testing.assert_array_equal(after.X.toarray(), [[5, 2, 8], [3, 0, 1]])
    assert after.X.sum() == cells.X.sum()
    assert harmonised.report.to_dict() == {
        "given": 4, "left": 3, "merged": 2, "alias": 1, "ambiguous": 1, "kept": 1, "unknown": 1
    }  # fmt: skip


@pytest.mark.parametrize(("space", "log"), [("ln", np.log1p), ("log2", lambda v: np.log2(v + 1))])
def test_repeated_logarithms_are_summed_behind_the_logarithm(table, space, log):
    counts = np.array([[1, 2, 4, 8], [0, 0, 3, 1.7]])
    cells = block(log(counts), NAMES)
    after = harmonise(NAMES, table).apply(cells, space).X.toarray()
    np.testing.assert_allclose(after[:, 0], log(counts[:, 0] + counts[:, 2]), rtol=1e-6)
    np.testing.assert_array_equal(after[:, 1:], cells.X.toarray()[:, [1, 3]])


def test_z_scores_of_one_gene_are_not_summed(table):
    with pytest.raises(DataError, match="1 genes, such as TP53, occur under several names"):
        harmonise(NAMES, table).apply(block([[1, 2, 4, 8]], NAMES), "zscore")
    once = harmonise(NAMES[1:], table).apply(block([[2, -4, 8]], NAMES[1:]), "zscore")
    np.testing.assert_array_equal(once.X.toarray(), [[2, -4, 8]])


def test_other_cells_than_those_harmonised_are_refused(table):
    with pytest.raises(DataError, match="do not have the genes that were harmonised"):
        harmonise(NAMES, table).apply(block([[1, 2, 4, 8]], NAMES[::-1]), "counts")


def test_perturbations_are_renamed_part_by_part(table):
    renamed = rename_perturbations(["control", "P53", "TP53+MARCH1", "SHARED"], table)
    assert renamed == {"control": "control", "P53": "TP53", "TP53+MARCH1": "MARCHF1+TP53", "SHARED": "SHARED"}


def test_the_intersection_keeps_the_first_order_and_says_what_each_data_set_costs():
    genes, table = intersect({"a": ["g3", "g1", "g2", "g0"], "b": ["g0", "g1", "g3"], "c": ["g1", "g2", "g3", "g9"]})
    assert genes == ("g3", "g1")
    assert table.loc["b"].to_dict() == {"given": 3, "lost": 1, "costs": 1, "shared": 2}  # without b, g2 would stay
    assert table.loc["a", "costs"] == 0
    kept = choose_genes(block([[1, 2, 3, 4]], ["g3", "g1", "g2", "g0"]), ("g1", "g3"))
    np.testing.assert_array_equal(kept.X.toarray(), [[2, 1]])
    with pytest.raises(DataError, match="1 genes are not among the cells' 2, such as g7"):
        choose_genes(kept, ("g7", "g1"))


@pytest.mark.parametrize(
    ("genes", "match"),
    [
        ({}, "No gene is in all of these data sets: none"),
        ({"a": ["g1"], "b": ["ENSG1"]}, r"a \(1\), b \(1\)"),
        ({"a": ["g1", "g1"], "b": ["g1"]}, "a has 1 genes twice"),
    ],
)
def test_data_sets_that_share_nothing_are_named(genes, match):
    with pytest.raises(DataError, match=match):
        intersect(genes)


def test_the_filter_of_the_paper_keeps_perturbations_of_measured_genes():
    obs = pd.DataFrame({"perturbation": ["control", "A", "A+B", "B", "C"]})
    np.testing.assert_array_equal(measured(obs, ["A", "B"]), [True, True, True, True, False])
    np.testing.assert_array_equal(measured(obs, ["A"]), [True, True, False, False, False])
    with pytest.raises(DataError, match="None of the 4 perturbations is of measured genes only"):
        measured(obs, ["X"])


def test_tables_that_are_none_are_named(tmp_path):
    (tmp_path / "a.tsv").write_text("gene\tname\nx\ty\n")
    (tmp_path / "b.tsv").write_text("symbol\talias\n")
    (tmp_path / "c.tsv.gz").write_bytes(gzip.compress(HGNC.encode())[:60])
    for name, match in (
        ("a.tsv", "columns gene, name; expected 'symbol'"),
        ("b.tsv", "none of them names a gene"),
        ("c.tsv.gz", "c.tsv.gz cannot be read"),
        ("d.tsv", "d.tsv cannot be read"),
    ):
        with pytest.raises(DataError, match=match):
            read_gene_table([tmp_path / name])


def test_the_card_takes_what_is_here(tmp_path, monkeypatch):
    monkeypatch.delenv("CYCSEQ_DATA", raising=False)
    monkeypatch.setenv("CYCSEQ_CACHE", str(tmp_path / "cache"))
    name = cards.read_annotation_card("human_genes").files[0].filename
    (tmp_path / name).write_text(HGNC)
    table = gene_table_of_card(data_dir=tmp_path)
    assert resolve(["MARCH1"], table)["name"][0] == "MARCHF1"
