"""Every reader on small files in its study's own form: the right cells, labels, genes and values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data.cards import read_card
from benchmarks.data.dataset import load_dataset, present
from benchmarks.data.schema import Reading
from benchmarks.data.sources import load_reader
from tests.conftest import validate
from tests.unit.datasets import upstream_files as upstream
from tests.unit.datasets.upstream_files import Study


def gather(reading: Reading, name: str) -> AnnData:
    """Put a reading's blocks together and check that they are canonical."""
    blocks = list(reading.blocks)
    assert all(b.var_names.equals(blocks[0].var_names) for b in blocks)
    assert all(isinstance(b.X, sp.csr_matrix) and b.X.dtype == np.float32 for b in blocks)
    cells = AnnData(
        X=sp.vstack([b.X for b in blocks], format="csr"),
        obs=pd.concat([b.obs for b in blocks]),
        var=blocks[0].var,
    )
    return validate(cells, read_card(name).space)


def read(name: str, study: Study) -> AnnData:
    """Read a study's files and compare labels with the truth."""
    cells = gather(load_reader(name).read(study.files), name)
    assert set(cells.obs_names) == set(study.truth.index)
    for column in study.truth.columns.drop("dose", errors="ignore"):
        assert list(cells.obs.loc[study.truth.index, column]) == list(study.truth[column]), column
    return cells[study.truth.index].copy()


@pytest.mark.parametrize("name", ["norman", "jost", "sciplex3", "kinker_umi", "replogle_k562"])
def test_counts_and_labels_are_those_of_the_files(name, tmp_path):
    makers = {
        "kinker_umi": lambda folder: upstream.kinker(folder, counts=True),
        "replogle_k562": lambda folder: upstream.replogle(folder, "K562"),
    }
    study = (makers.get(name) or getattr(upstream, name))(tmp_path)
    cells = read(name, study)
    own = [n.removeprefix("K562_") for n in cells.obs_names]
    study.truth.index = own
    expected = pd.DataFrame(study.kept(), columns=study.genes).T.groupby(level=0, sort=False).sum().T
    assert list(cells.var_names) == list(expected.columns)
    np.testing.assert_array_equal(cells.X.toarray(), expected)


def test_cropseq_reads_every_run_of_its_card(tmp_path):
    runs = sorted(
        {tuple(file.key.split("_", 1)) for file in read_card("cropseq").files if file.key.endswith("_matrix")}
    )
    runs = [(line, arm.removesuffix("_matrix")) for line, arm in runs]
    assert len(runs) == 14
    study = upstream.cropseq(tmp_path, n=14, runs=runs)
    assert set(study.files) == {file.key for file in read_card("cropseq").files}
    assert {path.name for path in study.files.values()} == {file.filename for file in read_card("cropseq").files}
    assert present("cropseq", tmp_path)
    loaded = load_dataset("cropseq", data_dir=tmp_path)
    assert set(loaded.cells.obs_names) == set(study.truth.index)
    assert set(loaded.cells.obs["arm"]) == {"noNK", "NK_1_16", "NK_1_4"}
    assert any("have several" in warning for warning in loaded.warnings)


def test_cropseq_calls_guides_as_the_authors_do_and_keeps_good_cells(tmp_path):
    study = upstream.cropseq(tmp_path)
    cells = read("cropseq", study)
    np.testing.assert_array_equal(cells.X.toarray(), study.kept())
    assert set(cells.obs["control_group"]) == {"K562|noNK", "K562|NK_1_16", "LP1|noNK", "LP1|NK_1_4"}


def test_cropseq_leaves_out_cells_beyond_the_authors_limits(tmp_path):
    study = upstream.cropseq(tmp_path)
    first = study.truth.index[0]
    values = study.counts.copy()
    values[study.cells.index(first), 30:35] = 400  # mitochondrial
    n = 24
    upstream.write(study.files["K562_noNK_matrix"], upstream.matrix_market(values[:n]))
    reading = load_reader("cropseq").read(study.files)
    cells = gather(reading, "cropseq")
    assert set(study.truth.index) - set(cells.obs_names) == {first}
    assert "59 of 60 called cells pass" in reading.notes[-1]


def test_sciplex_doses_are_nanomolar_and_only_of_treated_cells(tmp_path):
    study = upstream.sciplex3(tmp_path)
    cells = read("sciplex3", study)
    np.testing.assert_array_equal(cells.obs["dose"], study.truth["dose"])
    assert "(plus)-JQ1" in set(cells.obs["perturbation"])
    assert "Busulfan" in set(cells.obs["perturbation"])
    assert set(cells.obs["arm"]) == {"24h", "72h"}


def test_pan_cancer_cpm_become_log2_cp10k(tmp_path):
    study = upstream.kinker(tmp_path)
    cells = read("kinker", study)
    assert cells.obs["is_control"].all()
    np.testing.assert_allclose(cells.X.toarray(), np.log2(study.kept() / 100 + 1), rtol=1e-5)


def test_two_screens_share_genes_and_keep_their_cells_and_batches_apart(tmp_path):
    k562, rpe1 = upstream.replogle(tmp_path, "K562"), upstream.replogle(tmp_path, "RPE1", first=5)
    reading = load_reader("replogle").read(k562.files | rpe1.files)
    cells = gather(reading, "replogle")
    assert cells.shape == (80, 14)  # GENE5 is called GENE6 in one file, GENE6 called GENE7 in the other
    assert set(cells.obs["batch"]) == {"K562_1", "K562_2", "RPE1_1", "RPE1_2"}
    both = cells[cells.obs["context"] == "RPE1"]
    np.testing.assert_array_equal(both[:, "GENE10"].X.toarray().ravel(), rpe1.counts[:, 5])
    assert any("14 genes are in every file" in note for note in reading.notes)


def test_z_scores_lose_genes_that_are_not_finite_and_nothing_else(tmp_path):
    studies = [upstream.replogle(tmp_path, line, first=i, zscore=True) for line, i in (("K562", 0), ("RPE1", 1))]
    reading = load_reader("replogle_zscore").read(studies[0].files | studies[1].files)
    cells = gather(reading, "replogle_zscore")
    assert cells.X.min() < 0
    assert "GENE4" not in cells.var_names
    assert "GENE5" not in cells.var_names
    assert sum("NaN or infinite" in note for note in reading.notes) == 2
    np.testing.assert_array_equal(cells[:40, "GENE7"].X.toarray().ravel(), studies[0].counts[:, 7])


def test_scperturb_copies_are_read(tmp_path):
    values = sp.csr_matrix(upstream.draw(12, 8).astype(np.int64))
    ids = [f"ENSG{i}" for i in range(7)] + ["ENSMUSG7"]
    pairs = ["AHR_KLF1", "KLF1_AHR", "control", "AHR"] * 3
    norman = upstream.modern(
        tmp_path / "n.h5ad", values, {"perturbation": pairs, "gemgroup": [1, 2] * 6}, {"ensemble_id": ids}
    )
    cells = gather(load_reader("scperturb_norman").read({"h5ad": norman}), "scperturb_norman")
    assert list(cells.obs["perturbation"][:4]) == ["AHR+KLF1", "AHR+KLF1", "control", "AHR"]
    np.testing.assert_array_equal(cells.X.toarray(), values.toarray())
    genes = ["POLR2A", "control"] * 6
    lines = {
        key: upstream.modern(
            tmp_path / f"{key}.h5ad", values, {"perturbation": genes, "batch": [1] * 12}, {"ensembl_id": ids}
        )
        for key in ("k562", "rpe1")
    }
    cells = gather(load_reader("scperturb_replogle").read(lines), "scperturb_replogle")
    assert cells.shape == (24, 8)
    assert set(cells.obs["context"]) == {"K562", "RPE1"}
    obs = {
        "perturbation": ["control", "(+)-JQ1", None] * 4,
        "cell_line": ["A549"] * 12,
        "replicate": ["rep1"] * 12,
        "time": [24.0, 72.0] * 6,
        "dose_value": [0.0, 100.0, np.nan] * 4,
    }
    plex = upstream.modern(tmp_path / "s.h5ad", values, obs, {"ensembl_id": ids})
    reading = load_reader("scperturb_sciplex3").read({"h5ad": plex})
    cells = gather(reading, "scperturb_sciplex3")
    assert cells.shape == (8, 7)  # unknown compounds and the gene of the mouse are left out
    assert set(cells.obs["arm"]) == {"24h", "72h"}
    assert cells.obs.loc[~cells.obs["is_control"], "dose"].eq(100).all()
    assert "4 of 12 cells have no perturbation label" in reading.notes[0]


def test_files_by_the_names_of_the_card_are_found_in_any_folder(tmp_path):
    study = upstream.norman(tmp_path / "anywhere" / "deep")
    loaded = load_dataset("norman", data_dir=tmp_path)
    assert set(loaded.cells.obs_names) == set(study.truth.index)
    assert set(loaded.files) == {path.name for path in study.files.values()}
