"""Stored predictions: what is damaged is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.contract import Prediction
from benchmarks.errors import StoreError
from benchmarks.execution.prediction_store import get_outcome, get_prediction, prediction_path, put_prediction


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


def test_outcome_of_deep_nesting_is_none(tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text("[" * 100_000)
    assert get_outcome(tmp_path) is None
