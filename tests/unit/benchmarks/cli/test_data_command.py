"""`python -m benchmarks.data`, and a user's own file as a data set."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from benchmarks.cli.app import application
from benchmarks.data import cards, cell_table, download, sources, summary
from benchmarks.data.cards import SourceFile
from benchmarks.data.dataset import load_dataset
from benchmarks.data.own_file import OwnFile, own_source
from benchmarks.data.sources import builtin, code_hash
from benchmarks.data.store.cell_store import CELLS, CellStore
from benchmarks.data.store.prepared import prepare, verify
from benchmarks.errors import DataError, DownloadError, StoreError
from benchmarks.execution.plan import make_plan
from benchmarks.tasks.question import Question
from tests.conftest import make_cells

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's file: columns of its own names, a control of its own label, combinations joined by "_"."""
    labels = {"control": "NT", "A": "A", "B": "B", "A+B": "B_A"}
    cells = make_cells({(c, p): 24 for c in ("x", "y") for p in labels}, n_genes=30)
    obs = pd.DataFrame({"guide": cells.obs["perturbation"].map(labels), "line": cells.obs["context"]})
    path = tmp_path / "my screen.h5ad"
    anndata.AnnData(cells.X, obs, cells.var).write_h5ad(path)
    return path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(application("data"), [str(a) for a in arguments])
    return done.exit_code, done.output


def test_every_step_for_a_file_never_seen_before(mine, tmp_path):
    own = [
        "--h5ad",
        mine,
        "--perturbation-key",
        "guide",
        "--context-key",
        "line",
        "--control",
        "NT",
        "--separator",
        "_",
    ]
    code, said = run("prepare", *own)
    assert code == 0, said
    assert "192 cells × 30 genes, 8 conditions" in said
    code, said = run("summary", *own, "--out", tmp_path / "out")
    assert code == 0, said
    table = pd.read_csv(tmp_path / "out" / "my_screen" / "conditions.csv")
    assert set(table["perturbation"]) == {"control", "A", "B", "A+B"}
    assert (table["cells"] == 24).all()
    assert (tmp_path / "out" / "my_screen" / "cells.png").stat().st_size > 10_000
    assert "25.0% of cells" in said
    assert run("verify", *own)[0] == 0
    assert "my_screen" in run("info", *own)[1].replace("\n", "")


def test_an_own_file_becomes_a_plan_with_the_first_protocol_it_allows(mine):
    own = OwnFile(mine, "guide", "line", control=("NT",), separator="_")
    plan = make_plan(Question("cropseq", models=("no_change",), own=own))
    assert plan.protocol == "unseen_context"
    assert plan.suite.name == "own_my_screen"
    assert plan.space == "log2_cp10k"
    assert make_plan(Question("cropseq", models=("no_change",), own=replace(own, context=""))).protocol == (
        "unseen_perturbation"
    )
    few = anndata.read_h5ad(mine)[::6].copy()
    few.write_h5ad(mine)
    with pytest.raises(DataError, match="largest of 6 has 4"):
        make_plan(Question("cropseq", models=("no_change",), own=own))


def test_what_is_wrong_with_an_own_file_is_told(mine, tmp_path):
    for own, words in (
        (OwnFile(tmp_path / "nowhere.h5ad"), "does not exist"),
        (OwnFile(mine, "guides", "line"), "guides"),
        (OwnFile(mine, "guide", "line", control=("NTC",)), "NTC"),
        (OwnFile(mine, "guide", kind="gene"), "expected one of CRISPR"),
    ):
        with pytest.raises(DataError, match=words):
            load_dataset(own_source(own))
    mine.write_bytes(b"no hdf5")
    with pytest.raises(DataError, match="cannot be opened as h5ad"):
        own_source(OwnFile(mine))


def test_a_request_that_makes_no_sense_exits_with_2():
    for arguments, words in (
        (["prepare"], "Name a data set"),
        (["prepare", "kangg"], "Did you mean 'kang'"),
        (["prapare", "kang"], "expected one of list, info"),
        (["fetch", "kang", "--data-dir", "nowhere"], "nowhere does not exist"),
        (["prepare", "x", "--h5ad", "y.h5ad"], "one of the two"),
    ):
        code, said = run(*arguments)
        assert code == 2
        assert words in said


def test_verify_finds_damaged_cells_and_info_says_where_they_are():
    assert "prepared     no" in run("info", "smoke_simulated")[1]
    source = builtin("smoke_simulated")
    store = prepare(source).store
    assert all(finding.ok for finding in verify(source))
    content = bytearray((store.folder / CELLS).read_bytes())
    place = content.rfind(np.float32(3).tobytes())
    content[place : place + 4] = np.float32(5).tobytes()
    (store.folder / CELLS).write_bytes(content)
    code, said = run("verify", "smoke_simulated")
    assert code == 1
    assert "DAMAGED" in said
    assert str(store.folder) in run("info", "smoke_simulated")[1]


def test_a_prepared_data_set_is_not_read_again(monkeypatch):
    source = builtin("smoke_simulated")
    first = load_dataset(source)

    def refuse(files: object) -> None:
        raise AssertionError("read again")

    again = load_dataset(replace(source, read=refuse))
    assert again.digest == first.digest
    assert again.annotation == first.annotation
    pd.testing.assert_frame_equal(again.expectation, first.expectation)
    with pytest.raises(AssertionError, match="read again"):
        load_dataset(replace(source, read=refuse, code="changed"))


def test_large_data_stay_on_disk_and_are_the_same(monkeypatch):
    small = load_dataset("smoke_simulated").cells
    monkeypatch.setattr(cell_table, "HELD_BYTES", 0)
    large = load_dataset("smoke_simulated").cells
    assert isinstance(small, AnnData)
    assert isinstance(large, CellStore)
    pd.testing.assert_frame_equal(small.obs, large.obs)
    rows = np.arange(0, small.n_obs, 7)
    np.testing.assert_array_equal(small.X[rows].toarray(), large.X[rows].toarray())


def test_the_code_of_a_reader_that_is_loaded_by_name_counts(tmp_path, monkeypatch):
    for name in ("replogle", "replogle_rpe1", "jost"):
        shutil.copytree(cards.DATASETS / name, tmp_path / name)
    monkeypatch.setattr(cards, "DATASETS", tmp_path)
    before = code_hash("replogle_rpe1")
    (tmp_path / "jost" / "read.py").write_text("changed = 1")
    assert code_hash("replogle_rpe1") == before
    (tmp_path / "replogle" / "read.py").write_text("changed = 1")
    assert code_hash("replogle_rpe1") != before


def test_the_code_that_readers_share_counts(monkeypatch, tmp_path):
    before = sources.hash_shared_code()
    shared = {folder.name for folder in sources.SHARED}
    assert shared == {"readers", "simulation"}
    (tmp_path / "more.py").write_text("x = 1")
    monkeypatch.setattr(sources, "SHARED", (*sources.SHARED, tmp_path))
    assert sources.hash_shared_code() != before


def test_measured_cells_are_those_of_the_matrix():
    store = prepare(builtin("smoke_simulated")).store
    cells, whole = summary.measure_cells(store), store.to_memory()
    assert cells["depth"].sum() == whole.X.sum(dtype=np.float64)
    assert cells["detected"].sum() == (whole.X != 0).sum()
    contexts = summary.per_context(cells).set_index(["context", "arm"])
    own = whole.obs.query("context == 'sim_A' and arm == 'noNK'")
    assert contexts.loc[("sim_A", "noNK"), "control_share"] == pytest.approx(own["is_control"].mean())
    assert contexts.loc[("sim_A", "noNK"), "perturbations"] == own["perturbation"].nunique() - 1


def test_no_room_for_a_download_and_no_way_to_get_it_are_told_before_anything_comes(own_cache):
    big = SourceFile("x", "big.h5ad", url="http://127.0.0.1:9/big.h5ad", size=10**18)
    with pytest.raises(StoreError, match="1,000,000,000,067 MB"):
        download.fetch_all([big], None)
    login = SourceFile("y", "calls.txt", where="Synapse, with an account")
    with pytest.raises(DownloadError, match="Synapse, with an account"):
        download.fetch_all([replace(big, size=0), login], None)
    assert not own_cache.exists()


def test_the_digest_of_a_large_file_is_remembered_until_it_changes(tmp_path, monkeypatch, own_cache):
    path = tmp_path / "large"
    path.write_bytes(b"one")
    monkeypatch.setattr(download, "LARGE", 1)
    first = download.known_sha256(path)
    assert first == download.sha256_of(path)
    assert (own_cache / download.DIGESTS).is_file()
    path.write_bytes(b"three")
    assert download.known_sha256(path) == download.sha256_of(path) != first
    (own_cache / download.DIGESTS).write_text("no json")
    assert download.known_sha256(path) == download.sha256_of(path)
