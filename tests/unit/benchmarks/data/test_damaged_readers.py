"""Files that are damaged are refused by the one reader of their kind."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks.analyses.gene_set_enrichment.prerank import read_gene_sets
from benchmarks.data.annotation import read_annotation
from benchmarks.data.cards import DATASETS, read_card
from benchmarks.data.readers import hdf5_probe
from benchmarks.data.readers.hdf5_probe import check_structure
from benchmarks.data.readers.stored_matrix import opened
from benchmarks.data.readers.text_tables import read_table
from benchmarks.errors import DataError
from benchmarks.scoring.external.prediction_files import read_cells
from benchmarks.scoring.external.score_files import ScoringRequest
from tests.faults.damage import REFUSED, SAME, STRUCTURE, attribute_that_never_ends, change_sparse
from tests.unit.datasets.upstream_files import replogle

KEYS = ScoringRequest((), DATASETS).keys
"""The usual columns."""


@pytest.fixture(params=["csr", "csc"])
def cells(request, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.poisson(1.5, (12, 7)).astype(np.float32)
    obs = pd.DataFrame({"perturbation": ["control", "A", "B"] * 4}, index=[f"c{i}" for i in range(12)])
    made = ad.AnnData(getattr(sp, f"{request.param}_matrix")(x), obs, pd.DataFrame(index=[f"G{i}" for i in range(7)]))
    made.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.mark.parametrize("kind", STRUCTURE)
@pytest.mark.parametrize("seed", range(3))
def test_a_sparse_matrix_that_contradicts_itself_is_refused_and_one_written_otherwise_is_the_same(cells, kind, seed):
    expected = read_cells(cells, KEYS).X[np.arange(12)].toarray()
    follows = change_sparse(cells, np.random.default_rng(seed), kind)[1]
    if follows == REFUSED:
        with pytest.raises(DataError, match=r"cells\.h5ad"):
            read_cells(cells, KEYS)
    else:
        assert follows == SAME
        np.testing.assert_array_equal(read_cells(cells, KEYS).X[np.arange(12)].toarray(), expected)


@pytest.mark.parametrize("name", ["X", "obs/_index", "var/_index"])
def test_declared_sizes_take_no_memory(tmp_path, name):
    """A dataset may declare a size of which not one value is written."""
    path = tmp_path / "cells.h5ad"
    obs = pd.DataFrame({"perturbation": ["control", "A"]}, index=["a", "b"])
    ad.AnnData(np.ones((2, 3), np.float32), obs, pd.DataFrame(index=list("xyz"))).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        kept = dict(file[name].attrs)
        del file[name]
        shape = (10**9, 10**3) if name == "X" else (10**12,)
        new = file.create_dataset(name, shape, dtype="f4" if name == "X" else "S8", chunks=(1000,) * len(shape))
        new.attrs.update(kept)
    with pytest.raises(DataError, match=r"cells\.h5ad"):
        read_cells(path, KEYS)


def test_a_file_in_which_hdf5_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_probe, "CPU_SECONDS", 1)
    path = tmp_path / "cells.h5ad"
    obs = pd.DataFrame({"perturbation": ["control", "A"] * 50}, index=[f"cell{i}" for i in range(100)])
    ad.AnnData(np.ones((100, 3), np.float32), obs, pd.DataFrame(index=list("xyz"))).write_h5ad(path)
    assert check_structure(path) == ""
    attribute_that_never_ends(path, np.random.default_rng(0))
    assert "signal" in check_structure(path)
    with pytest.raises(DataError, match="damaged"), opened(path):
        pass


def test_the_process_that_walks_through_files_is_started_again_and_not_shared_with_a_fork(tmp_path):
    files = [tmp_path / f"{n}.h5" for n in range(3)]
    for path in files:
        with h5py.File(path, "w") as file:
            file["X"] = np.ones(3)
    assert check_structure(files[0]) == ""
    process = hdf5_probe._forking(os.getpid())[0]
    process.kill()
    process.wait()
    assert check_structure(files[1]) == ""
    again = hdf5_probe._forking(os.getpid())[0]
    assert again.pid != process.pid
    code = (
        "import os, sys; from pathlib import Path\n"
        "from benchmarks.data.readers import hdf5_probe\n"
        "paths = [Path(path) for path in sys.argv[1:]]; hdf5_probe.check_structure(paths[0])\n"
        "own, child = hdf5_probe._forking(os.getpid())[0].pid, os.fork()\n"
        "hdf5_probe.check_structure(paths[1])\n"
        "same = hdf5_probe._forking(os.getpid())[0].pid == own\n"
        "if child: os.waitpid(child, 0)\n"
        "print('parent' if child else 'child', same, flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, files[1:])], capture_output=True, text=True, check=True
    )
    assert done.stdout == "child False\nparent True\n"


@pytest.mark.parametrize("kind", [-1, "odd", b"\xff"])
def test_a_table_of_an_unknown_kind_is_refused(tmp_path, kind):
    """AnnData has an error of its own for it; tables of AnnData 0.7 are read whole."""
    path = replogle(tmp_path, "K562").files["k562"]
    with h5py.File(path, "r+") as file:
        file["obs"].attrs["encoding-type"] = kind
    with pytest.raises(DataError, match=path.name):
        read_cells(path, KEYS)


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"x = " + b"[" * 100_000, b"name = 3", b"files = 1", b"[[["])
def test_cards_that_are_no_card_are_refused(tmp_path, text):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "card.toml").write_bytes(text)
    with pytest.raises(DataError, match=r"card\.toml"):
        read_card("own", tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("terms.json", b"[" * 100_000),
        ("terms.json", b'{"A": "GO:1"}'),
        ("terms.json", '{"A": ["é"]}'.encode("latin-1")),
        ("terms.gaf", b"\xff\t" * 20),
        ("terms.gaf", b"\x1f\x8b\x08"),
        ("gene2go", b""),
    ],
)
def test_annotations_of_another_shape_are_refused(tmp_path, name, text):
    (tmp_path / name).write_bytes(text)
    (tmp_path / "symbol_ensembl_entrez.txt").write_bytes(b"")
    with pytest.raises(DataError):
        read_annotation(tmp_path / name)


PACKED = gzip.compress(b"one\tabout\tA\tB\n" * 50, mtime=0)


@pytest.mark.parametrize(
    "data", [PACKED[:-9], PACKED[:12] + b"\xff" * 8 + PACKED[20:], b"text\n", PACKED[:-8] + bytes(8)]
)
def test_damaged_gene_sets_are_refused(tmp_path, data):
    (tmp_path / "sets.gmt.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"sets\.gmt\.gz"):
        read_gene_sets(tmp_path / "sets.gmt.gz")


def test_a_folder_in_the_place_of_a_table_is_refused(tmp_path):
    (tmp_path / "table.tsv.gz").mkdir()
    with pytest.raises(DataError, match=r"table\.tsv\.gz"):
        read_table(tmp_path / "table.tsv.gz")


@pytest.mark.parametrize("text", [b"a\tb\n" + b"x" * 200_000 + b"\t1\n", b"a\tb\n\xff\t1\n", b"a\tb\n\x00\n", b"\x00"])
@pytest.mark.parametrize("zipped", [False, True])
def test_text_tables_are_read_or_refused(tmp_path, text, zipped):
    path = tmp_path / "table.tsv"
    path.write_bytes(gzip.compress(text, mtime=0) if zipped else text)
    try:
        table = read_table(path, ("a", "b"))
    except DataError:
        return
    assert list(table.columns) == ["a", "b"]
