"""How good a metric is: rank recovery and shared controls, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reports.stats.aggregate import rank_settled
from reports.stats.condition_values import condition_values, score_matrices
from reports.stats.metric_quality import planted_tau, rate_metrics
from reports.tables import PLANTED_COLUMNS
from tests.unit.reports.result_tables import metrics_table, planted_rows, score_rows

METRICS = metrics_table()
NONE = pd.DataFrame(columns=[*PLANTED_COLUMNS, "dose"])


def rate(scores: pd.DataFrame, planted: pd.DataFrame = NONE, n_boot: int = 200) -> pd.DataFrame:
    """Return the quality of every metric, by name."""
    settled = condition_values(scores, METRICS)
    board = rank_settled(settled, score_matrices(settled, METRICS), METRICS, n_boot=n_boot)
    planted = planted if "dose" in planted else planted.assign(dose=np.nan)
    return rate_metrics(score_matrices(settled, METRICS), board, planted, n_boot=n_boot).set_index("metric")


def simple(metric: str = "pearson_delta", **values: float) -> pd.DataFrame:
    """Return scores that are the same on four conditions."""
    cells = {(model, c, p, metric): value for model, value in values.items() for c in "AB" for p in "xy"}
    return score_rows(cells)


@pytest.mark.parametrize(
    ("goodness", "tau"),
    [
        ([5, 4, 3, 2, 1], 1.0),
        ([1, 2, 3, 4, 5], -1.0),
        ([0.3, 0.3, 0.3, 0.3, 0.3], 0.0),
        ([5, 4, 4, 2, 1], 0.9),  # one of ten pairs tied
        ([5, 3, 4, 2, 1], 0.8),  # one of ten pairs turned round: (9 − 1) / 10
        ([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], 0.0),  # differs by rounding only
    ],
)
def test_tau_by_hand(goodness: list[float], tau: float) -> None:
    assert planted_tau(np.array([goodness], dtype=float))[0] == pytest.approx(tau)


def test_rank_recovery_turns_with_the_metrics_direction() -> None:
    rising = {f"{c}/{p}": (0.0, 0.1, 0.2, 0.3, 0.4) for c in "AB" for p in "xy"}
    scores = pd.concat([simple(a_model=0.5), simple("mse", a_model=0.5)])
    planted = pd.concat([planted_rows(rising, "mse"), planted_rows(rising, "pearson_delta")])
    table = rate(scores, planted)
    ends = ["tau_noise", "tau_noise_low", "tau_noise_high"]
    assert table.loc["mse", ends].tolist() == [1, 1, 1]
    assert table.loc["pearson_delta", ends].tolist() == [-1, -1, -1]
    assert table.loc["mse", "orders"] is True
    assert table.loc["pearson_delta", "orders"] is False
    assert np.isnan(table.loc["mse", "tau_input"])


def test_one_mixture_that_is_not_ordered_is_enough() -> None:
    falling = {f"{c}/{p}": (0.9, 0.8, 0.7, 0.6, 0.5) for c in "AB" for p in "xy"}
    flat = dict.fromkeys(falling, (0.5,) * 5)
    planted = pd.concat([planted_rows(falling, "pearson_delta"), planted_rows(flat, "pearson_delta", mixture="input")])
    row = rate(simple(a_model=0.5), planted).loc["pearson_delta"]
    assert (row["tau_noise"], row["tau_input"], row["orders"]) == (1, 0, False)


def test_conditions_without_every_share_and_bad_statuses_are_left_out() -> None:
    falling = {
        "A/x": (0.9, 0.8, 0.7, 0.6, 0.5),
        "A/y": (0.9, 0.8, 0.7, 0.6, 0.5),
        "B/z": (0.0, 9.0, 99.0, 999.0, 9999.0),
    }
    planted = planted_rows(falling, "pearson_delta")
    last = (planted["perturbation"] == "z") & (planted["share"] == 0.5)
    planted.loc[last, ["status", "value"]] = ["too_few_genes", np.nan]
    assert rate(simple(a_model=0.5), planted).loc["pearson_delta", "tau_noise"] == 1


def test_the_interval_of_tau_shows_noise() -> None:
    rng = np.random.default_rng(4)
    values = {f"A/p{n}": tuple(0.02 * np.arange(5)[::-1] + rng.normal(0, 0.1, 5)) for n in range(12)}
    row = rate(simple(a_model=0.5), planted_rows(values, "pearson_delta"), n_boot=1000).loc["pearson_delta"]
    assert row["tau_noise_low"] < row["tau_noise_high"]
    assert row["tau_noise_low"] <= row["tau_noise"] <= row["tau_noise_high"]


def test_share_gain_and_full_depth_by_hand() -> None:
    cells = {
        ("train_mean", "A", p, "pearson_delta"): value for p, value in zip("wxyz", (0.1, 0.2, 0.3, 0.9), strict=True)
    }
    cells |= {
        ("split_half", "A", p, "pearson_delta"): value for p, value in zip("wxyz", (0.5, 0.5, 0.5, 0.5), strict=True)
    }
    row = rate(score_rows(cells)).loc["pearson_delta"]
    assert row["share"] == 0.75
    assert row["gain"] == pytest.approx(0.5 - 0.375)
    assert row["split_half_full_depth"] == pytest.approx(2 * 0.5 / 1.5)
    assert np.isnan(row["ceiling_mean"])
    assert row["informative"] is False  # three better by 0.3 on average, one worse by 0.4


def test_full_depth_is_of_positive_correlations_only() -> None:
    table = rate(pd.concat([simple("mse", train_mean=0.5, split_half=0.2), simple(train_mean=-0.5, split_half=-0.2)]))
    assert table["split_half_full_depth"].isna().all()
    assert table["informative"].tolist() == [True, True]


def test_without_split_half_nothing_is_said_of_information() -> None:
    row = rate(simple(train_mean=0.5)).loc["pearson_delta"]
    assert row["informative"] is None
    assert np.isnan(row["share"])


def test_what_a_shared_control_is_worth() -> None:
    disjoint = simple(train_mean=0.1, split_half=0.3, other_controls=0.01)
    shared = simple("pearson_delta_shared", train_mean=0.6, split_half=0.7, other_controls=0.5)
    row = rate(pd.concat([disjoint, shared])).loc["pearson_delta"]
    columns = [
        "other_controls",
        "other_controls_shared",
        "baseline_mean",
        "baseline_shared",
        "split_half_mean",
        "split_half_shared",
    ]
    assert row["shared"] == "pearson_delta_shared"
    assert row[columns].tolist() == pytest.approx([0.01, 0.5, 0.1, 0.6, 0.3, 0.7])
