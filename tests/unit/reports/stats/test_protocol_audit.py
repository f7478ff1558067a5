"""Leakage by hand: the same conditions, paired, and the share that is gone when they are held out."""

import numpy as np
import pandas as pd
import pytest

from reports.pages.audits_page import write_audits
from reports.stats.audits import compare_integrations, compare_protocols
from reports.tables import Tables, check_metrics, check_scores
from tests.unit.reports.result_tables import metrics_table, score_rows


def tables(values, **common):
    metrics = check_metrics(metrics_table())
    rows = {
        (model, f"{place % 2}", f"P{place}", metric): value
        for (model, metric), column in values.items()
        for place, value in enumerate(column)
    }
    scores = check_scores(score_rows(rows, **common), metrics)
    return Tables(scores, metrics, pd.DataFrame(), pd.DataFrame(), pd.DataFrame())


HONEST = tables(
    {
        ("no_change", "pearson_delta"): [0, 0, 0, 0],
        ("model", "pearson_delta"): [0.2, 0.2, 0.2, 0.2],
        ("worse", "pearson_delta"): [-0.1, -0.1, -0.1, -0.1],
        ("no_change", "mse"): [4.0, 4.0, 4.0, 4.0],
        ("model", "mse"): [3.0, 3.0, 3.0, 3.0],
    },
    protocol="unseen_context",
)
LEAKY = tables(
    {
        ("no_change", "pearson_delta"): [0, 0, 0, 0, 0, 0],
        ("model", "pearson_delta"): [0.7, 0.8, 0.8, 0.9, 0.1, 0.1],
        ("worse", "pearson_delta"): [0.4, 0.4, 0.4, 0.4, 0.4, 0.4],
        ("no_change", "mse"): [4.0, 4.0, 4.0, 4.0, 4.0, 4.0],
        ("model", "mse"): [2.0, 2.0, 2.0, 2.0, 0.0, 0.0],
    },
    protocol="resampled",
    audit="leaky: all test cells are training cells",
)


def test_only_conditions_of_both_are_compared():
    found = compare_protocols(HONEST, LEAKY, n_boot=200).set_index(["metric", "model"])
    row = found.loc[("pearson_delta", "model")]
    assert (row["honest"], row["leaky"], row["gain"]) == pytest.approx(
        (0.2, 0.8, 0.6)
    )  # P4 and P5 are in one run alone
    assert row["n_conditions"] == 4
    assert row["low"] <= 0.6 <= row["high"]


def test_the_share_of_leakage_is_what_is_gone_above_no_change():
    found = compare_protocols(HONEST, LEAKY, n_boot=200).set_index(["metric", "model"])
    assert found.loc[("pearson_delta", "model"), "share"] == pytest.approx(0.75)
    assert found.loc[("pearson_delta", "worse"), "share"] == pytest.approx(1.25)
    assert found.loc[("mse", "model"), "share"] == pytest.approx(0.5)  # 1 below no_change of 2
    assert found.loc[("mse", "model"), "gain"] == pytest.approx(1.0)  # lower is better
    assert np.isnan(found.loc[("pearson_delta", "no_change"), "share"])


def test_a_model_without_values_under_one_protocol_is_left_out():
    declined = tables(
        {("no_change", "pearson_delta"): [0] * 4, ("model", "pearson_delta"): ["unsupported"] * 4}, protocol="unseen"
    )
    assert set(compare_protocols(declined, LEAKY, n_boot=50)["model"]) == {"no_change"}


def test_the_page_says_what_leaks_and_what_is_left_of_the_effects(tmp_path):
    effects = pd.DataFrame({"detected": [True, True, True, False], "share": [0.1, 0.3, 0.5, np.nan]})
    runs = {"none": HONEST, "per_condition": HONEST}
    found = {
        "protocols": compare_protocols(HONEST, LEAKY, n_boot=50),
        "integration": compare_integrations(runs, {"per_condition": effects}, n_boot=50),
    }
    assert found["integration"].groupby("method")["effect_left"].first().to_dict() == {
        "none": 1.0,
        "per_condition": 0.3,
    }
    paths = write_audits(found, {"per_condition": "removes the effect"}, tmp_path)
    page = paths[-1].read_text()
    assert "| pearson_delta | model | 0.200 | 0.800 | 0.600" in page
    assert "75 %" in page
    assert "| pearson_delta | worse | −0.100 | 0.400 | 0.500 [0.500, 0.500] | all |" in page
    assert "per_condition**: removes the effect" in page
    assert {path.name for path in paths} >= {"protocols.csv", "protocols-toy-n2p.png", "integration-toy-n2p.png"}
