"""Stored predictions: what is damaged is refused by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.contract import Prediction
from benchmarks.errors import ContractError, StoreError
from benchmarks.execution.prediction_store import (
    Outcome,
    digest_of,
    get_outcome,
    get_prediction,
    prediction_path,
    put_outcome,
    put_prediction,
)
from benchmarks.scoring.endings import Ending


@pytest.mark.parametrize("low", [0.0, 0.1, 0.3, 0.6, 0.9])
def test_damaged_prediction_is_refused(tmp_path: Path, low: float) -> None:
    values = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    put_prediction(tmp_path, 0, Prediction(values, unit="cell"))
    path = prediction_path(tmp_path, 0)
    data = bytearray(path.read_bytes())
    start = int(low * len(data))
    data[start : start + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=path.name):
        get_prediction(tmp_path, 0)


@pytest.mark.parametrize("name", ["values", "unit", "note"])
@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00\x06\x00{'a':(\n"])
def test_a_part_that_is_no_array_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    put_prediction(tmp_path, 0, Prediction(np.ones((2, 3), np.float32), unit="cell"))
    path = prediction_path(tmp_path, 0)
    with zipfile.ZipFile(path) as whole:
        members = {member: whole.read(member) for member in whole.namelist()}
    with zipfile.ZipFile(path, "w") as changed:
        for member, data in (members | {f"{name}.npy": content}).items():
            changed.writestr(member, data)
    with pytest.raises(StoreError, match=path.name):
        get_prediction(tmp_path, 0)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_predictions_are_kept_as_they_are(tmp_path: Path, form: str) -> None:
    dense = np.random.default_rng(0).poisson(0.4, size=(7, 9)).astype(np.float32)
    prediction = Prediction(sp.csr_matrix(dense).asformat(form), unit="cell", note="sparse")
    put_prediction(tmp_path, 0, prediction)
    again = get_prediction(tmp_path, 0)
    np.testing.assert_array_equal(again.dense(), dense)
    assert again.values.format == ("csc" if form == "csc" else "csr")
    np.testing.assert_array_equal(again.mean(), Prediction(dense, unit="cell").mean())
    assert digest_of(again) == digest_of(prediction)
    other = dense.copy()
    other[dense > 0] += 1
    assert digest_of(Prediction(sp.csr_matrix(other).asformat(form), unit="cell", note="sparse")) != digest_of(
        prediction
    )


def test_entries_of_a_sparse_prediction_that_come_twice_are_summed() -> None:
    twice = sp.csr_matrix((np.array([1.0, 2.0, 5.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    assert Prediction(twice, unit="cell").dense().tolist() == [[0.0, 3.0], [5.0, 0.0]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_sparse_predictions_are_finite(wrong: float) -> None:
    with pytest.raises(ContractError, match="finite"):
        Prediction(sp.csc_matrix(np.array([[0.0, wrong]])), unit="mean")


@pytest.mark.parametrize(("indices", "indptr"), [([0, 9], [0, 1, 2]), ([0, 1], [0, 2, 1]), ([0, 1], [0, 1, 5])])
def test_a_sparse_prediction_that_contradicts_itself_is_refused(tmp_path: Path, indices: list, indptr: list) -> None:
    path = prediction_path(tmp_path, 0)
    arrays = {"csr": np.array([2, 3]), "data": np.ones(2, np.float32), "unit": "cell", "note": ""}
    np.savez(path, **arrays, indices=np.array(indices), indptr=np.array(indptr))
    with pytest.raises(StoreError, match=path.name):
        get_prediction(tmp_path, 0)


def test_outcome_of_deep_nesting_is_none(tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text("[" * 100_000)
    assert get_outcome(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.update(budget="quick"),
        lambda table: table["endings"][0].update(reason="another"),
        lambda table: table.update(endings=[]),
        lambda table: table.pop("key"),
        lambda table: table.update(fit_seconds=1),
    ],
)
def test_an_outcome_of_other_content_is_none(tmp_path: Path, change) -> None:
    written = Outcome("key", (Ending("L1", "A", "failed", "a reason", 10.0),), ("",), peak_memory_mb=0.1)
    put_outcome(tmp_path, written)
    assert get_outcome(tmp_path) == written
    table = json.loads((tmp_path / "outcome.json").read_text())
    change(table)
    (tmp_path / "outcome.json").write_text(json.dumps(table))
    assert get_outcome(tmp_path) is None
