"""The study's table: means and gains by hand, intervals over conditions and seeds, models without values."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.study_summary import short_name, summarise_seeds
from reports.tables import SCORE_COLUMNS

METRICS = pd.DataFrame(
    {
        "metric": ["pearson_delta", "mse", "spearman_delta"],
        "family": "change",
        "best": [1.0, 0.0, 1.0],
        "higher_is_better": [True, False, True],
        "scored": True,
        "undefined": "",
        "summary": "",
        "source": "",
    }
)


def rows(model, values, *, metric="pearson_delta", kind="model", status="ok", reason=""):
    """Scores of a model: `values` [condition, seed], conditions in two contexts by turns."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    return [
        {
            "suite": "grid",
            "dataset": "made",
            "source": "real",
            "protocol": "unseen_context",
            "direction": "n2p",
            "fold": 0,
            "seed": seed,
            "model": model,
            "kind": kind,
            "context": "AB"[place % 2],
            "perturbation": f"G{place}",
            "dose": np.nan,
            "metric": metric,
            "value": value if status == "ok" else np.nan,
            "status": status,
            "reason": reason,
            "budget": "quick",
            "audit": "clean",
            "n_truth_cells": 50,
        }
        for place, row in enumerate(values)
        for seed, value in enumerate(row)
    ]


def table(*parts, n_boot=500):
    scores = pd.DataFrame([row for part in parts for row in part])[list(SCORE_COLUMNS)]
    return summarise_seeds(scores, METRICS, n_boot=n_boot).set_index(["metric", "model"])


BASE = [[0.1], [0.2], [0.1], [0.2]]


def test_mean_and_gain_by_hand():
    found = table(
        rows("no_change", np.zeros((4, 1))),
        rows("train_mean", BASE),
        rows("cycseq_n2p", [[0.2, 0.4], [0.2, 0.4], [0.3, 0.5], [0.2, 0.2]]),
        rows("split_half", [[0.6], [0.8], [0.6], [0.8]], kind="reference"),
    ).loc["pearson_delta"]
    # context A: conditions 0 and 2, means 0.3 and 0.4; context B: 0.3 and 0.2
    assert found.loc["cycseq_n2p", "mean"] == pytest.approx((0.35 + 0.25) / 2)
    assert found.loc["cycseq_n2p", "gain"] == pytest.approx((0.35 - 0.1 + 0.25 - 0.2) / 2)
    assert found.loc["cycseq_n2p", ["n_conditions", "n_seeds"]].tolist() == [4, 2]
    assert found.loc["train_mean", "gain"] == 0
    assert found.loc["split_half", "mean"] == pytest.approx(0.7)


def test_where_lower_is_better_a_gain_is_a_smaller_value():
    parts = [rows(name, np.full((4, 1), value), metric="mse") for name, value in (("no_change", 3), ("train_mean", 2))]
    found = table(*parts, rows("better", np.full((4, 1), 0.5), metric="mse")).loc["mse"]
    assert found.loc["better", "gain"] == pytest.approx(1.5)
    assert found.loc["no_change", "gain"] == pytest.approx(-1.0)


def test_seeds_that_differ_widen_the_interval():
    """All conditions alike: without seeds there is nothing to vary."""
    parts = [rows("no_change", np.zeros((4, 1))), rows("train_mean", np.full((4, 1), 0.1))]
    found = table(*parts, rows("same", np.full((4, 3), 0.3)), rows("varied", [[0.1, 0.3, 0.5]] * 4)).loc[
        "pearson_delta"
    ]
    assert found.loc["same", ["low", "high"]].tolist() == pytest.approx([0.3, 0.3])
    assert found.loc["varied", "mean"] == pytest.approx(0.3)
    assert found.loc["varied", "low"] == pytest.approx(0.1)  # 1 draw of 27 takes the lowest seed three times
    assert found.loc["varied", "gain_high"] == pytest.approx(0.4)


def test_models_may_have_different_numbers_of_seeds():
    parts = [rows("no_change", np.zeros((4, 1))), rows("train_mean", BASE)]
    found = table(*parts, rows("three", [[0.1, 0.3, 0.8]] * 4), rows("two", [[0.1, 0.3]] * 4)).loc["pearson_delta"]
    assert found.loc[["three", "two"], "n_seeds"].tolist() == [3, 2]
    assert found.loc[["three", "two"], "mean"].tolist() == pytest.approx([0.4, 0.2])


def test_a_model_that_declines_keeps_its_reason():
    declined = rows("gears", np.zeros((4, 1)), status="unsupported", reason="takes knock-outs only")
    found = table(rows("no_change", np.zeros((4, 1))), rows("train_mean", BASE), declined).loc["pearson_delta"]
    assert np.isnan(found.loc["gears", "mean"])
    assert found.loc["gears", ["status", "reason"]].tolist() == ["unsupported", "takes knock-outs only"]


def test_short_name():
    assert short_name("cycseq_no_kl_p2n", "p2n") == "cycseq_no_kl"
    assert short_name("train_mean", "n2p") == "train_mean"
