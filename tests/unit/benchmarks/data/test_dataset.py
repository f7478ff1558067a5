"""Data sets: cards, local copies by content, downloads that resume, and errors for what is not right."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.data import cards, download
from benchmarks.data.cards import SourceFile
from benchmarks.data.cell_table import read
from benchmarks.data.expression_space import to_space
from benchmarks.data.readers.value_space import tell_space
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import DataError, DownloadError, StoreError, UnknownName
from tests.conftest import make_cells, validate

pytestmark = pytest.mark.usefixtures("own_cache")
CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    """A server that knows ranges, and the Range headers it was sent."""
    ranges: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            ranges.append(asked)
            start = int(re.findall(r"\d+", asked)[0]) if asked else 0
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:])

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/file.bin", ranges
    running.shutdown()
    running.server_close()


def test_a_file_is_downloaded_checked_and_kept(server, own_cache):
    url, ranges = server
    file = SourceFile("x", "file.bin", url=url, sha256=DIGEST)
    assert download.fetch(file, None).path == own_cache / "file.bin"
    assert (own_cache / "file.bin").read_bytes() == CONTENT
    download.fetch(file, None)
    assert ranges == [None], "the second fetch found it in the cache"


def test_a_broken_download_goes_on_where_it_stopped(server, own_cache):
    url, ranges = server
    own_cache.mkdir()
    (own_cache / "file.bin.part").write_bytes(CONTENT[:1000])
    download.fetch(SourceFile("x", "file.bin", url=url, sha256=DIGEST), None)
    assert ranges == ["bytes=1000-"]
    assert (own_cache / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_judged_by_its_content(server, own_cache):
    url, _ = server
    own_cache.mkdir()
    (own_cache / "file.bin.part").write_bytes(CONTENT + b"more")
    with pytest.raises(DownloadError, match="another sha256"):
        download.fetch(SourceFile("x", "file.bin", url=url, sha256=DIGEST), None)
    assert [path.name for path in own_cache.iterdir()] == [".locks"], "nothing half-made is left"


def test_other_content_than_the_card_says_is_refused(server, own_cache):
    with pytest.raises(DownloadError, match="another sha256"):
        download.fetch(SourceFile("x", "file.bin", url=server[0], sha256="0" * 64), None)
    assert not (own_cache / "file.bin").exists()


def test_offline_says_what_is_missing_where_it_is_and_where_to_put_it(own_cache):
    file = SourceFile("x", "file.bin", url="http://127.0.0.1:9/file.bin", sha256=DIGEST)
    with pytest.raises(DownloadError) as caught:
        download.fetch(file, None)
    for part in ("file.bin", DIGEST, file.url, "--data-dir", "CYCSEQ_DATA", str(own_cache)):
        assert part in str(caught.value)


def test_a_local_copy_is_found_by_content_under_any_name(tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "deep"
    folder.mkdir(parents=True)
    (folder / "renamed.dat").write_bytes(CONTENT)
    file = SourceFile("x", "file.bin", sha256=DIGEST, size=len(CONTENT))
    assert download.fetch(file, tmp_path / "mine").path == folder / "renamed.dat"
    monkeypatch.setenv("CYCSEQ_DATA", str(tmp_path / "mine"))
    assert download.fetch(file, None).path == folder / "renamed.dat"


def test_a_corrupt_local_copy_is_named_with_both_digests(tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT[:100])
    with pytest.raises(DownloadError) as caught:
        download.fetch(SourceFile("x", "file.bin", sha256=DIGEST, size=len(CONTENT)), tmp_path)
    assert DIGEST in str(caught.value)
    assert hashlib.sha256(CONTENT[:100]).hexdigest() in str(caught.value)
    with pytest.raises(DownloadError, match="does not exist"):
        download.fetch(SourceFile("x", "file.bin", sha256=DIGEST), tmp_path / "nowhere")


@pytest.mark.parametrize("name", cards.available())
def test_every_card_reads_and_says_what_it_must(name):
    read = cards.read_card(name)
    assert read.licence
    assert read.citation
    assert read.control_rule
    for file in read.files:
        assert file.url.startswith("https://") or file.where
        assert not file.sha256 or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.sha256 or any("sha256" in note for note in read.notes)


def test_cards_with_slips_are_refused(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'kang'"):
        cards.read_card("kangg")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.toml").write_text('name = "bad"\ntitel = "x"\n')
    with pytest.raises(DataError, match="titel"):
        cards.read_card("bad", tmp_path)
    (tmp_path / "bad" / "card.toml").write_text('name = "bad\n')
    with pytest.raises(DataError, match="not valid TOML"):
        cards.read_card("bad", tmp_path)


def spoil_value(value: float):
    def spoil(cells: anndata.AnnData) -> None:
        cells.X.data[0] = value

    return spoil


def rename_cell(cells: anndata.AnnData) -> None:
    cells.obs_names = ["same", "same", *cells.obs_names[2:]]


def rename_gene(cells: anndata.AnnData) -> None:
    cells.var_names = ["same", "same", *cells.var_names[2:]]


def drop_controls(cells: anndata.AnnData) -> None:
    cells.obs["perturbation"] = cells.obs["perturbation"].replace("control", "Z")
    cells.obs["is_control"] = False


def unlabel(cells: anndata.AnnData) -> None:
    cells.obs["is_control"] = False


def unsort(cells: anndata.AnnData) -> None:
    cells.obs["perturbation"] = cells.obs["perturbation"].replace("A", "B+A")


def empty_cell(cells: anndata.AnnData) -> None:
    keep = sp.diags(np.r_[0.0, np.ones(cells.n_obs - 1)])
    cells.X = (keep @ cells.X).tocsr()


def drop_batch(cells: anndata.AnnData) -> None:
    cells.obs = cells.obs.drop(columns="batch")


def name_dose(cells: anndata.AnnData) -> None:
    cells.obs["dose"] = "high"


def blank(cells: anndata.AnnData) -> None:
    cells.obs["batch"] = None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_value(np.nan), "1 NaN or infinite"),
        (spoil_value(np.inf), "1 NaN or infinite"),
        (spoil_value(-1), "negative values"),
        (spoil_value(0.5), "fractions"),
        (rename_cell, "cell names occur more"),
        (rename_gene, "gene names occur more"),
        (drop_controls, "no control cells in context x"),
        (unlabel, "disagree"),
        (unsort, "expected 'A\\+B'"),
        (empty_cell, "1 cells have no counts"),
        (blank, "have no batch"),
        (drop_batch, "lacks the column"),
        (name_dose, "dose object"),
    ],
)
def test_unusable_cells_are_refused_with_the_reason(spoil, words):
    cells = make_cells({("x", "A"): 3, ("x", "control"): 3})
    validate(cells)
    spoil(cells)
    with pytest.raises(DataError, match=words):
        validate(cells)


def test_room_is_asked_for_what_is_fetched_only(tmp_path, monkeypatch):
    """A full disk is no reason to refuse files that are there already."""
    (tmp_path / "mine.bin").write_bytes(CONTENT)
    file = SourceFile("x", "file.bin", url="http://127.0.0.1:1/nowhere", sha256=DIGEST, size=len(CONTENT))
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    assert download.fetch_all([file], tmp_path)["x"].path == tmp_path / "mine.bin"
    with pytest.raises(StoreError, match=r"and 0 MB are free"):
        download.fetch_all([SourceFile("y", "other.bin", url=file.url, sha256="0" * 64, size=5)], tmp_path)


def test_expression_spaces():
    cells = make_cells({("x", "A"): 3, ("x", "control"): 3})
    counts = cells.X.toarray()
    expected = np.log2(counts / counts.sum(axis=1, keepdims=True) * 1e4 + 1)
    made, name = to_space(cells, "counts")
    assert name == "log2_cp10k"
    np.testing.assert_allclose(read(made).X.toarray(), expected, rtol=1e-5)
    raw, name = to_space(cells, "counts", "raw")
    assert name == "log2_raw"
    np.testing.assert_allclose(read(raw).X.toarray(), np.log2(counts + 1), rtol=1e-6)
    cells.X = cells.X.log1p()
    natural, name = to_space(cells, "ln")
    assert name == "log2_upstream"
    np.testing.assert_allclose(read(natural).X.toarray(), np.log2(counts + 1), rtol=1e-5)
    with pytest.raises(DataError, match="needs counts"):
        to_space(cells, "ln", "raw")


def test_one_cell_does_not_change_anothers_normalisation(grid_cells):
    alone, _ = to_space(grid_cells[:1].copy(), "counts")
    together, _ = to_space(grid_cells, "counts")
    np.testing.assert_array_equal(read(alone).X.toarray(), together.X[np.array([0])].toarray())


def test_digest_sees_values_labels_and_names_only(grid_cells):
    base = digest(grid_cells)
    assert digest(grid_cells.copy()) == base
    for change in ("value", "label", "name"):
        other = grid_cells.copy()
        if change == "value":
            other.X.data[3] += 1
        elif change == "label":
            other.obs.iloc[0, other.obs.columns.get_loc("batch")] = "b2"
        else:
            other.var_names = ["new", *other.var_names[1:]]
        assert digest(other) != base


def test_noisy_logarithms_of_few_levels_are_no_multiples_of_the_smallest():
    """Values that lie close together are each about once the smallest; such predictions were refused as never logged."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1.0, 2.0, size=80), size=(60, 80))
    logged = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    noisy = np.where(counts > 0, logged + rng.normal(0, 0.05, logged.shape), 0.0)
    assert tell_space(sp.csr_matrix(logged), "exact")[0] == "ln"
    space, why = tell_space(sp.csr_matrix(noisy), "noisy")
    assert space == "ln"
    assert "assumed" in why
