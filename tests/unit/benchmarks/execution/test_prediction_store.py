"""Stored predictions: what is damaged is refused by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contract import Prediction
from benchmarks.errors import StoreError
from benchmarks.execution.prediction_store import (
    Outcome,
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


@pytest.mark.parametrize("name", ["values", "unit", "note", "weights"])
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
