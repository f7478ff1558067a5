"""Any h5ad, of any layout and AnnData version, becomes canonical cells block by block."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data.readers import h5ad, stored_matrix
from benchmarks.data.readers.h5ad import Keys, read_h5ads
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import Reading
from benchmarks.errors import DataError
from tests.conftest import validate
from tests.unit.datasets import upstream_files as upstream
from tests.unit.datasets.memory import peak_of

USER = {
    "gene": ["TP53+MYC", "NT", "TP53", "nt", "MYC", None],
    "line": ["K562", "K562", "K562", "RPE1", "RPE1", "RPE1"],
    "lane": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0],
    "dose": ["1 uM", "x", "10", "", "100", "5"],
}
KEYS = Keys("gene", context="line", batch="lane", dose="dose", labelling=Labelling(separator="+", controls=("NT",)))


def read(path: Path, keys: Keys) -> Reading:
    return read_h5ads({"h5ad": path}, {"h5ad": keys})


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_any_h5ad_becomes_canonical(layout, tmp_path):
    values = upstream.draw(6, 5).astype(np.float64)
    reading = read(upstream.modern(tmp_path / "mine.h5ad", layout(values), USER), KEYS)
    (cells,) = reading.blocks
    validate(cells)
    np.testing.assert_array_equal(cells.X.toarray(), values[:5])
    assert list(cells.obs["perturbation"]) == ["MYC+TP53", "control", "TP53", "control", "MYC"]
    assert list(cells.obs["batch"]) == ["1", "2", "1", "2", "1"]
    np.testing.assert_array_equal(cells.obs["dose"], [1000, np.nan, 10, np.nan, 100])
    assert any("spelled in 2 ways" in note for note in reading.notes)
    assert any("1 of 6 cells have no perturbation label" in note for note in reading.notes)


def test_layers_and_raw_are_read_where_they_are_asked_for(tmp_path):
    values = upstream.draw(4, 3).astype(np.float32)
    cells = AnnData(X=np.log1p(values), obs=pd.DataFrame({"p": ["control"] * 4}, index=list("abcd")))
    cells.var_names = ["A", "B", "C"]
    cells.layers["counts"] = values
    cells.raw = AnnData(X=sp.csr_matrix(values), obs=cells.obs, var=pd.DataFrame(index=["A", "B", "D"]))
    path = tmp_path / "layers.h5ad"
    cells.write_h5ad(path)
    for layer, genes in (("counts", "ABC"), ("raw", "ABD")):
        (block,) = read(path, Keys("p", layer=layer)).blocks
        np.testing.assert_array_equal(block.X.toarray(), values)
        assert list(block.var_names) == list(genes)
    with pytest.raises(DataError, match=r"has no matrix 'umi'; it has X, raw, counts"):
        read(path, Keys("p", layer="umi"))


def test_an_h5ad_without_what_is_asked_for_is_refused(tmp_path):
    path = upstream.modern(tmp_path / "mine.h5ad", upstream.draw(6, 5), USER)
    with pytest.raises(DataError, match=r"lacks the column\(s\) genes; it has gene, line, lane, dose"):
        read(path, Keys("genes"))
    with pytest.raises(DataError, match=r"lacks the column\(s\) ensembl; it has symbol"):
        read(path, Keys("gene", gene_ids="ensembl", labelling=KEYS.labelling))
    (tmp_path / "none.h5ad").write_bytes(b"no hdf5")
    with pytest.raises(DataError, match="cannot be opened as h5ad"):
        read(tmp_path / "none.h5ad", Keys("gene"))
    with h5py.File(path, "a") as handle:
        x = handle["X"][:]
        del handle["X"]
        handle["X"] = x.T
    with pytest.raises(DataError, match=r"X is \(5, 6\), but obs × var is \(6, 5\). It is transposed"):
        read(path, KEYS)


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
    (block,) = read(path, Keys("condition")).blocks
    assert list(block.obs["perturbation"]) == ["control", "stimulated"] * 2
    np.testing.assert_array_equal(block.X.toarray(), values.toarray())


@pytest.mark.parametrize("layout", ["dense", "csr", "csc"])
def test_an_h5ad_is_never_held_whole(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(h5ad, "CELLS_PER_BLOCK", 128)
    monkeypatch.setattr(stored_matrix, "COLUMNS_PER_READ", 1 << 14)
    values = np.ones((2000, 1000), dtype=np.float32)
    make = {"dense": lambda x: x, "csr": sp.csr_matrix, "csc": sp.csc_matrix}[layout]
    path = upstream.modern(tmp_path / "big.h5ad", make(values), {"p": ["control"] * 2000})
    opened = h5ad.open_h5ad(path, Keys("p"), "counts", [])
    del values
    peak, total = peak_of(h5ad.matrix_blocks(opened))
    assert total == 16_000_000
    assert peak < total / 2
