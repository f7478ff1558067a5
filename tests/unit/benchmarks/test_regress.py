"""The regression gate: losses fail, gains and noise do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import regress


@pytest.fixture
def reference():
    rows = [
        ("m1", "pearson_delta", 0.5),
        ("m1", "mse", 0.2),
        ("m1", "pds_cosine", 0.7),
        ("m2", "pearson_delta", np.nan),
    ]
    table = pd.DataFrame(rows, columns=["model", "metric", "mean"])
    status = np.where(table["mean"].isna(), "unsupported", "ok")
    return table.assign(
        suite="s", dataset="d", protocol="p", direction="n2p", level="suite", kind="model", n_failed=0, status=status
    )


def run(tmp_path, new, reference):
    new.to_csv(tmp_path / "new.csv", index=False)
    reference.to_csv(tmp_path / "reference.csv", index=False)
    return CliRunner().invoke(regress.app, [str(tmp_path / "new.csv"), str(tmp_path / "reference.csv")])


def changed(reference, metric, value):
    new = reference.copy()
    new.loc[(new["metric"] == metric) & (new["model"] == "m1"), "mean"] = value
    return new


@pytest.mark.parametrize(
    ("metric", "value", "code", "word"),
    [
        ("pearson_delta", 0.5, 0, "0 worse"),
        ("pearson_delta", 0.48, 0, "0 worse"),
        ("pearson_delta", 0.44, 1, "loss"),
        ("pearson_delta", 0.9, 0, "gain"),
        ("mse", 0.205, 0, "0 worse"),
        ("mse", 0.25, 1, "loss"),
        ("mse", 0.1, 0, "gain"),
        ("mse", np.nan, 1, "no value"),
    ],
)
def test_a_loss_fails_the_build_and_a_gain_does_not(tmp_path, reference, metric, value, code, word):
    done = run(tmp_path, changed(reference, metric, value), reference)
    assert done.exit_code == code
    assert word in done.output


def test_a_model_that_fails_is_never_a_gain(tmp_path, reference):
    new = changed(reference, "mse", 0.1).assign(n_failed=[0, 1, 0, 0])
    done = run(tmp_path, new, reference)
    assert done.exit_code == 1
    assert "failed" in done.output
    assert "gain" not in done.output


def test_a_row_that_is_gone_fails_and_a_new_one_does_not(tmp_path, reference):
    assert run(tmp_path, reference[reference["metric"] != "mse"], reference).exit_code == 1
    done = run(tmp_path, reference, reference[reference["metric"] != "mse"])
    assert done.exit_code == 0
    assert "new" in done.output


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.drop(columns="mean"), "lacks the column"),
        (lambda t: pd.concat([t, t]), "two rows"),
        (lambda t: t.assign(metric=t["metric"].replace("mse", "r3")), "Unknown metric 'r3'"),
    ],
)
def test_tables_that_cannot_be_compared(tmp_path, reference, spoil, words):
    done = run(tmp_path, reference, spoil(reference).reset_index(drop=True))
    assert done.exit_code == 2
    assert words in done.output.replace("\n", " ")


def test_no_table(tmp_path):
    done = CliRunner().invoke(regress.app, [str(tmp_path), str(tmp_path)])
    assert done.exit_code == 2
    assert "leaderboard.csv" in done.output
