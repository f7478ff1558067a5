"""Gene annotation: three formats in the form they are published in, small."""

from __future__ import annotations

import gzip
import json

import pytest

from benchmarks.data.annotation import read_annotation
from benchmarks.errors import DataError

EXPECTED = {"SGK1": {"GO:0000001", "GO:0000002"}, "PLK4": {"GO:0000002"}}
GAF_ROWS = [
    ("SGK1", "enables", "GO:0000001", "taxon:9606"),
    ("SGK1", "NOT|enables", "GO:0000009", "taxon:9606"),
    ("SGK1", "enables", "GO:0000002", "taxon:9606|taxon:10"),
    ("PLK4", "enables", "GO:0000002", "taxon:9606"),
    ("Plk4", "enables", "GO:0000002", "taxon:10090"),
]
GAF = "!gaf-version: 2.2\n!generated-by: GOC\n" + "".join(
    f"UniProtKB\tX\t{symbol}\t{qualifier}\t{term}\tR\tIDA\t\tF\tn\ts\tprotein\t{taxon}\t20200101\tUniProt\t\t\n"
    for symbol, qualifier, term, taxon in GAF_ROWS
)
GENE2GO = """#tax_id\tGeneID\tGO_ID\tEvidence\tQualifier\tGO_term\tPubMed\tCategory
9606\t6446\tGO:0000001\tIDA\tenables\tx\t1\tFunction
9606\t6446\tGO:0000002\tIDA\tenables\tx\t1\tFunction
9606\t6446\tGO:0000009\tIDA\tNOT enables\tx\t1\tFunction
9606\t10733\tGO:0000002\tIEA\tenables\tx\t-\tFunction
10090\t20873\tGO:0000002\tIEA\tenables\tx\t-\tFunction
"""
GENE_INFO = "#tax_id\tGeneID\tSymbol\tLocusTag\n9606\t6446\tSGK1\t-\n9606\t10733\tPLK4\t-\n10090\t20873\tPlk4\t-\n"


def as_sets(annotation):
    return {gene: set(terms) for gene, terms in annotation.items()}


@pytest.mark.parametrize("compressed", [False, True])
def test_gaf(tmp_path, compressed):
    path = tmp_path / ("goa_human.gaf.gz" if compressed else "goa_human.gaf")
    path.write_bytes(gzip.compress(GAF.encode()) if compressed else GAF.encode())
    assert as_sets(read_annotation(path)) == EXPECTED


def test_gene2go_with_gene_info(tmp_path):
    (tmp_path / "gene2go.gz").write_bytes(gzip.compress(GENE2GO.encode()))
    with pytest.raises(DataError, match="gene_info"):
        read_annotation(tmp_path / "gene2go.gz")
    (tmp_path / "Homo_sapiens.gene_info.gz").write_bytes(gzip.compress(GENE_INFO.encode()))
    assert as_sets(read_annotation(tmp_path / "gene2go.gz")) == EXPECTED


def test_gene2go_with_a_symbol_table(tmp_path):
    (tmp_path / "gene2go").write_text(GENE2GO)
    (tmp_path / "symbol_ensembl_entrez.tsv").write_text(
        "symbol\tensembl_id\tentrez_id\nSGK1\tE1\t6446\nPLK4\tE2\t10733\n"
    )
    assert as_sets(read_annotation(tmp_path / "gene2go")) == EXPECTED


def test_json(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps({g: sorted(t) for g, t in EXPECTED.items()}).encode()))
    assert as_sets(read_annotation(path)) == EXPECTED


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "[1, 2]", "expected an object"),
        ("b.json", "{", "expected an object"),
        ("c.gaf", "!only a header\n", "no human"),
        ("d.pkl", "x", "Pickles are refused"),
    ],
)
def test_unusable_annotation_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        read_annotation(tmp_path / name)
    with pytest.raises(DataError, match="does not exist"):
        read_annotation(tmp_path / "nothing.gaf")
