"""What can be wrong with an upstream file: each is refused with what was found, what was expected and what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.data.sources import load_reader
from benchmarks.errors import DataError
from tests.unit.datasets import upstream_files as upstream
from tests.unit.datasets.upstream_files import Study, cut, matrix_market, write


def consume(name: str, study: Study) -> list[str]:
    """Read everything; returns what the reader noted."""
    reading = load_reader(name).read(study.files)
    for _ in reading.blocks:
        pass
    return reading.notes


def edit(path: Path, old: str, new: str, times: int = -1) -> None:
    """Replace text in a file, gzipped or not."""
    raw = path.read_bytes()
    zipped = raw[:2] == b"\x1f\x8b"
    text = (gzip.decompress(raw) if zipped else raw).decode()
    assert old in text
    write(path, text.replace(old, new, times))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("norman", "matrix"),
        ("norman", "barcodes"),
        ("norman", "genes"),
        ("jost", "identities"),
        ("sciplex3", "matrix"),
        ("sciplex3", "pdata"),
        ("cropseq", "K562_noNK_matrix"),
    ],
)
def test_a_truncated_gzip_is_told(name, key, tmp_path):
    study = getattr(upstream, name)(tmp_path)
    cut(study.files[key])
    with pytest.raises(DataError, match=rf"{study.files[key].name} .* truncated"):
        consume(name, study)


def test_a_file_that_only_calls_itself_gzip_is_told(tmp_path):
    study = upstream.norman(tmp_path)
    study.files["barcodes"].write_text("no gzip\n")
    with pytest.raises(DataError, match="gzip"):
        consume("norman", study)


def test_text_cut_off_in_a_line_or_between_lines_is_told(tmp_path):
    study = upstream.kinker(tmp_path)
    cut(study.files["cpm"], 0.7)
    with pytest.raises(DataError, match=r"gene \d+ has \d+ values for 30 cells; the file is cut off"):
        consume("kinker", study)
    study = upstream.norman(tmp_path)
    whole = matrix_market(study.counts)
    write(study.files["matrix"], whole[: whole[: len(whole) // 2].rindex("\n") + 1])
    with pytest.raises(DataError, match=r"has [\d,]+ entries, its head announces [\d,]+: it is truncated"):
        consume("norman", study)


def test_a_truncated_or_damaged_h5ad_is_told(tmp_path):
    study = upstream.replogle(tmp_path, "K562")
    cut(study.files["k562"])
    with pytest.raises(DataError, match=r"cannot be opened as h5ad .* truncated"):
        consume("replogle_k562", study)
    study = upstream.replogle(tmp_path, "K562")
    with h5py.File(study.files["k562"], "a") as handle:
        handle["obs/gene"][0] = 99
    with pytest.raises(DataError, match="is not the text or table that was expected"):
        consume("replogle_k562", study)


def test_barcodes_that_do_not_match_the_matrix_are_told(tmp_path):
    study = upstream.norman(tmp_path)
    edit(study.files["barcodes"], study.cells[-1] + "\n", "")
    with pytest.raises(DataError, match="is 30 × 63, expected gene × cell, 30 × 62"):
        consume("norman", study)
    others = [f"{b}-1" for b in upstream.barcodes(63, seed=99)]
    write(study.files["barcodes"], "\n".join(others) + "\n")
    with pytest.raises(DataError, match=r"None of the 63 barcodes of .* is among the 40 labelled cells"):
        consume("norman", study)
    write(study.files["barcodes"], "\n".join([study.cells[0], *study.cells[:-1]]) + "\n")
    with pytest.raises(DataError, match="has a barcode more than once"):
        consume("norman", study)


def test_a_transposed_matrix_is_told(tmp_path):
    study = upstream.jost(tmp_path)
    write(study.files["matrix"], matrix_market(study.counts.T))
    with pytest.raises(DataError, match=r"is 43 × 30, expected .* 30 × 43 .*transposed"):
        consume("jost", study)
    plex = upstream.sciplex3(tmp_path)
    rows = gzip.decompress(plex.files["matrix"].read_bytes()).decode().split("\n")
    swapped = ["\t".join((r.split("\t")[1], r.split("\t")[0], r.split("\t")[2])) for r in rows if r]
    write(plex.files["matrix"], "\n".join(swapped) + "\n")
    with pytest.raises(DataError, match="entries for genes 1 to 60, expected 1 to 20"):
        consume("sciplex3", plex)


def test_log_values_where_counts_are_expected_are_told(tmp_path):
    study = upstream.norman(tmp_path)
    write(study.files["matrix"], matrix_market(np.log1p(study.counts), "real"))
    with pytest.raises(DataError, match=r"has fractions .* log-normalised"):
        consume("norman", study)
    screen = upstream.replogle(tmp_path, "K562")
    with h5py.File(screen.files["k562"], "a") as handle:
        handle["X"][...] = np.log1p(handle["X"][...])
    with pytest.raises(DataError, match="state the space"):
        consume("replogle_k562", screen)
    with h5py.File(screen.files["k562"], "a") as handle:
        handle["X"][...] = handle["X"][...] - 1
    with pytest.raises(DataError, match=r"negative values .* z-scores"):
        consume("replogle_k562", screen)
    cells = upstream.kinker(tmp_path)
    rows = cells.files["cpm"].read_text().split("\n")
    logs = [
        "\t".join([r.split("\t")[0], *(f"{np.log2(float(v) / 10 + 1):.4f}" for v in r.split("\t")[1:])])
        for r in rows[1:]
        if r
    ]
    write(cells.files["cpm"], "\n".join([rows[0], *logs]) + "\n")
    with pytest.raises(DataError, match=r"cells sum to \d+ \(median\), expected about 1,000,000"):
        consume("kinker", cells)


def test_genes_turned_into_dates_are_turned_back_or_refused(tmp_path):
    study = upstream.norman(tmp_path)
    genes = study.files["genes"]
    edit(genes, "ENSG90000000003\tGENE3", "ENSG00000145416\t1-Mar")
    edit(genes, "ENSG90000000004\tGENE4", "ENSG00000168385\tSEPT2")
    reading = load_reader("norman").read(study.files)
    blocks = list(reading.blocks)
    assert list(blocks[0].var_names[2:6]) == ["GENE2", "MARCHF1", "SEPTIN2", "GENE5"]
    assert any("1-Mar → MARCHF1, SEPT2 → SEPTIN2" in note for note in reading.notes)
    cells = upstream.kinker(tmp_path)  # has no ids
    edit(cells.files["cpm"], "\nGENE3\t", "\n2-Sep\t")
    assert any("2-Sep → SEPTIN2" in note for note in consume("kinker", cells))
    edit(cells.files["cpm"], "\n2-Sep\t", "\n1-Mar\t")
    with pytest.raises(DataError, match=r"gene '1-Mar' is a date .* it may be MARCHF1 or MTARC1"):
        consume("kinker", cells)
    guides = upstream.jost(tmp_path)
    edit(guides.files["identities"], "HSPA5_HSPA5", "2-Sep_2-Sep")
    blocks = list(load_reader("jost").read(guides.files).blocks)
    assert "SEPTIN2" in set(blocks[0].obs["perturbation"])


def test_controls_in_any_case_are_controls(tmp_path):
    study = upstream.norman(tmp_path)
    table = gzip.decompress(study.files["identities"].read_bytes()).decode().split("\n")
    mixed = [r.replace("NegCtrl10", ("negctrl10", "NEGCTRL10")[i % 2]) for i, r in enumerate(table)]
    write(study.files["identities"], "\n".join(mixed))
    reading = load_reader("norman").read(study.files)
    found = [p for block in reading.blocks for p in block.obs["perturbation"]]
    assert found.count("control") == list(study.truth["perturbation"]).count("control")


def test_two_columns_of_one_name_are_refused(tmp_path):
    study = upstream.norman(tmp_path)
    edit(study.files["identities"], "read_count", "guide_identity", 1)
    with pytest.raises(DataError, match=r"1 column names occur more than once, such as 'guide_identity'"):
        consume("norman", study)
    plex = upstream.sciplex3(tmp_path)
    edit(plex.files["pdata"], '"catalog_number"', '"dose"', 1)
    with pytest.raises(DataError, match="such as 'dose'"):
        consume("sciplex3", plex)
    screen = upstream.replogle(tmp_path, "K562")
    with h5py.File(screen.files["k562"], "a") as handle:
        handle["obs"].attrs["column-order"] = np.array(["gene", "gene"], dtype=h5py.string_dtype())
    with pytest.raises(DataError, match="such as 'gene'"):
        consume("replogle_k562", screen)


def test_a_missing_column_is_named_with_those_there(tmp_path):
    study = upstream.jost(tmp_path)
    edit(study.files["identities"], "gemgroup", "gem", 1)
    with pytest.raises(DataError, match=r"lacks the column\(s\) gemgroup; it has cell_barcode, guide_identity"):
        consume("jost", study)


def test_missing_guide_calls_are_told(tmp_path):
    study = upstream.cropseq(tmp_path)
    notes = consume("cropseq", study)
    assert any("sgRNA.txt: 15 of 21 cells have one perturbation; 3 have several" in note for note in notes)
    assert any("barcodes.tsv.gz: 15 of 24 barcodes have labels" in note for note in notes)
    library = study.files["K562_library"]
    text = library.read_text()
    for number, sequence in enumerate(upstream.LIBRARY):
        text = text.replace(sequence, "A" * 15 + "ACGT"[number % 4] * 5)
    write(library, text)
    with pytest.raises(DataError, match=r"none of 21 cells has a guide call with CROPseq_K562_sgRNA_library.txt"):
        consume("cropseq", study)
    pairs = upstream.norman(tmp_path)
    table = gzip.decompress(pairs.files["identities"].read_bytes()).decode().split("\n")
    blank = [",".join([r.split(",")[0], "*", *r.split(",")[2:]]) if i and r else r for i, r in enumerate(table)]
    write(pairs.files["identities"], "\n".join(blank))
    with pytest.raises(DataError, match=r"no cell has a perturbation. Are the guide or hash calls"):
        consume("norman", pairs)


def test_a_condition_without_cells_is_told(tmp_path):
    notes = consume("cropseq", upstream.cropseq(tmp_path))
    assert sum("no cell has NLRC5" in note for note in notes) == len(upstream.RUNS)


def test_cells_without_counts_are_left_out_and_told(tmp_path):
    study = upstream.jost(tmp_path)
    values = study.counts.copy()
    values[study.cells.index(study.truth.index[2])] = 0
    write(study.files["matrix"], matrix_market(values))
    reading = load_reader("jost").read(study.files)
    assert sum(block.n_obs for block in reading.blocks) == len(study.truth) - 1
    assert "1 cells have no count at all" in reading.notes[-1]


def test_a_context_without_controls_is_refused(tmp_path):
    study = upstream.sciplex3(tmp_path)
    text = gzip.decompress(study.files["pdata"].read_bytes()).decode().split("\n")
    treated = [
        r.replace('"TRUE" 0', '"FALSE" 10').replace('"Vehicle"', '"Busulfan"') if '"MCF7"' in r else r for r in text
    ]
    write(study.files["pdata"], "\n".join(treated))
    with pytest.raises(DataError, match="no control cells in context MCF7; every context needs controls"):
        consume("sciplex3", study)


def test_a_dose_that_is_no_number_is_refused(tmp_path):
    study = upstream.sciplex3(tmp_path)
    edit(study.files["pdata"], '"FALSE" 10000', '"FALSE" "high"')
    with pytest.raises(DataError, match=r"\d+ cells have a dose that is not a number, such as 'high'"):
        consume("sciplex3", study)


def test_a_hash_count_that_is_no_number_is_refused(tmp_path):
    study = upstream.sciplex3(tmp_path)
    edit(study.files["pdata"], " 8.5 ", " many ", 1)
    with pytest.raises(DataError, match=r"is not the text or table that was expected .*many"):
        consume("sciplex3", study)


def test_metadata_of_another_study_are_refused(tmp_path):
    study = upstream.kinker(tmp_path)
    rows = study.files["metadata"].read_text().split("\n")
    write(study.files["metadata"], "\n".join([*rows[:2], "OTHER\tA549_LUNG\tpool1\tLung Cancer"]) + "\n")
    with pytest.raises(DataError, match=r"names 30 cells \(30 different\), 0 of them in Metadata.txt"):
        consume("kinker", study)
