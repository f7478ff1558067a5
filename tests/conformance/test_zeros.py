"""Predicted cells lack about as many genes as the input cells do, unless a network makes them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.conformance.checks import SEED, Screen, fitted
from benchmarks.errors import Unsupported
from tests.conformance.test_plugins import RECORDS, SLOW, TRAININGS

GENERATE = {"biolord", "gears", "scgen", "scvi"}
"""Networks whose output is the cell: no value of theirs is 0."""
OTHERS = sorted(name for training, name in TRAININGS.items() if training not in GENERATE and "cycseq" not in training)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in OTHERS])
def test_share_of_zeros_is_near_that_of_the_input(name: str, screen: Screen) -> None:
    record = RECORDS[name]
    model = fitted(record, screen.train, SEED)
    shares = []
    for direction in record.directions:
        for query in screen.queries(direction):
            try:
                prediction = model.predict(query)
            except Unsupported:
                continue
            if prediction.unit == "cell":
                assert prediction.dense().min() >= 0
                shares.append(((query.cells.X.toarray() == 0).mean(), (prediction.dense() == 0).mean()))
    before, after = np.array(shares).reshape(-1, 2).T
    assert len(shares) or prediction.unit != "cell"
    assert np.abs(after - before) == pytest.approx(0, abs=0.15), name
