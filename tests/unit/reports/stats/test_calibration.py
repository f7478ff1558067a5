"""Scaled scores and metrics that cannot rank, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reports.stats.aggregate import leaderboard
from reports.stats.metric_quality import baseline_of
from tests.unit.reports.result_tables import metrics_table, run_scores, score_rows

METRICS = metrics_table()
PLACES = [("A", "p1"), ("B", "p1"), ("B", "p2")]
# context A holds one condition, B two; the means over contexts are 0.2, 0.4, 0.6, 0.5 and 1.0
VALUES = {
    "train_mean": (0.1, 0.2, 0.4),
    "split_half": (0.3, 0.4, 0.6),
    "ceiling": (0.5, 0.6, 0.8),
    "a_model": (0.4, 0.5, 0.7),
    "oracle": (1.0, 1.0, 1.0),
}


def table(values: dict[str, tuple[object, ...]], metric: str = "pearson_delta", **common: object) -> pd.DataFrame:
    """Return scores from model → values at `PLACES`."""
    cells = {
        (model, *place, metric): score
        for model, scores in values.items()
        for place, score in zip(PLACES, scores, strict=True)
    }
    return score_rows(cells, **common)


def suite(board: pd.DataFrame, metric: str = "pearson_delta") -> pd.DataFrame:
    """Return the suite-level rows of a metric by model."""
    return board[(board["level"] == "suite") & (board["metric"] == metric)].set_index("model")


def test_scaled_is_0_at_the_baseline_and_1_at_the_ceiling() -> None:
    rows = suite(leaderboard(table(VALUES), METRICS))
    # means over contexts: train_mean (0.1 + 0.3) / 2 = 0.2, ceiling (0.5 + 0.7) / 2 = 0.6, a_model 0.5, oracle 1
    assert rows["scaled"].to_dict() == pytest.approx(
        {"train_mean": 0.0, "split_half": 0.5, "ceiling": 1.0, "a_model": 0.3 / 0.4, "oracle": 0.8 / 0.4}
    )
    assert rows.loc["a_model", "rank"] == 1
    assert rows.loc["train_mean", "rank"] == 2


def test_scaled_is_not_clipped_and_follows_the_direction() -> None:
    values = {"train_mean": (1.0, 1.0, 1.0), "split_half": (0.75,) * 3, "ceiling": (0.5,) * 3, "a_model": (1.5,) * 3}
    rows = suite(leaderboard(table(values, "mse"), METRICS), "mse")
    assert rows["scaled"].to_dict() == pytest.approx(
        {"train_mean": 0.0, "split_half": 0.5, "ceiling": 1.0, "a_model": -1.0}
    )
    assert rows.loc["a_model", "rank"] == 2


@pytest.mark.parametrize("name", ["split_half", "ceiling"])
def test_scaled_uses_the_conditions_on_which_the_references_have_a_value(name: str) -> None:
    values = VALUES | {name: (*VALUES[name][:2], "needs_cells")}
    rows = suite(leaderboard(table(values), METRICS))
    # without B/p2: train_mean 0.15, ceiling 0.55, a_model 0.45; the mean of a_model keeps all three conditions
    assert rows.loc["a_model", "scaled"] == pytest.approx(0.30 / 0.40)
    assert rows.loc["a_model", "mean"] == pytest.approx(0.5)


@pytest.mark.parametrize(("metric", "worse"), [("pearson_delta", 0.1), ("mse", 0.9)])
def test_a_split_half_worse_than_the_baseline_is_uninformative(metric: str, worse: float) -> None:
    values = {"train_mean": (0.5,) * 3, "a_model": (0.6,) * 3, "split_half": (worse,) * 3}
    board = leaderboard(table(values, metric), METRICS)
    rows = suite(board, metric)
    assert rows.loc["a_model", "status"] == "uninformative"
    assert rows.loc["a_model", "mean"] == pytest.approx(0.6)
    assert rows.loc[["a_model", "train_mean"], ["rank", "scaled", "p_best"]].isna().all(axis=None)
    assert f"split half {worse}, train_mean 0.5" in rows.loc["a_model", "reason"]
    assert "better by -0.4 [−0.4000, −0.4000]" in rows.loc["a_model", "reason"]
    assert rows.loc["split_half", "status"] == "ok"


@pytest.mark.parametrize(("metric", "better"), [("pearson_delta", 0.9), ("mse", 0.1)])
def test_a_split_half_better_than_the_baseline_ranks(metric: str, better: float) -> None:
    values = {
        "train_mean": (0.5,) * 3,
        "a_model": (0.6,) * 3,
        "split_half": (better,) * 3,
        "ceiling": (2 * better - 0.5,) * 3,
    }
    rows = suite(leaderboard(table(values, metric), METRICS), metric)
    assert rows.loc[["a_model", "train_mean"], "rank"].tolist() == ([1, 2] if metric == "pearson_delta" else [2, 1])
    assert rows.loc["a_model", "scaled"] == pytest.approx(0.125 if metric == "pearson_delta" else -0.125)


def test_a_split_half_better_only_within_the_error_is_uninformative() -> None:
    values = {"train_mean": (0.5, 0.5, 0.5), "a_model": (0.6, 0.6, 0.6), "split_half": (1.0, 0.4, 0.4)}
    rows = suite(leaderboard(table(values), METRICS))
    assert rows.loc["a_model", "status"] == "uninformative"


def test_one_condition_has_no_error_to_be_better_by() -> None:
    cells = {
        ("train_mean", "A", "p", "mse"): 0.5,
        ("split_half", "A", "p", "mse"): 0.1,
        ("a_model", "A", "p", "mse"): 0.2,
    }
    row = suite(leaderboard(score_rows(cells), METRICS), "mse").loc["a_model"]
    assert row["status"] == "uninformative"
    assert "no interval from one condition" in row["reason"]


def test_uninformative_is_told_of_a_context_alone() -> None:
    values = {"train_mean": (0.5, 0.2, 0.2), "a_model": (0.6, 0.6, 0.6), "split_half": (0.9, 0.1, 0.1)}
    board = leaderboard(table(values), METRICS)
    in_b = board[(board["context"] == "B") & (board["model"] == "a_model")].iloc[0]
    assert in_b["status"] == "uninformative"
    values |= {"split_half": (0.1, 0.8, 0.8), "ceiling": (0.9, 0.9, 0.9)}
    board = leaderboard(table(values), METRICS)
    in_b = board[(board["context"] == "B") & (board["model"] == "a_model")].iloc[0]
    assert (in_b["status"], in_b["rank"], in_b["scaled"]) == ("ok", 1, pytest.approx(0.4 / 0.7))


@pytest.mark.parametrize("gone", ["split_half", "ceiling", "train_mean"])
def test_without_references_or_baseline_ranks_stay(gone: str) -> None:
    rows = suite(leaderboard(table({name: scores for name, scores in VALUES.items() if name != gone}), METRICS))
    assert rows.loc["a_model", "rank"] == 1
    assert rows["scaled"].isna().all()
    assert rows.loc["a_model", "status"] == "ok"


def test_a_ceiling_that_is_not_better_than_the_baseline_scales_nothing() -> None:
    rows = suite(leaderboard(table(VALUES | {"ceiling": (0.0, 0.1, 0.3)}), METRICS))
    assert rows["scaled"].isna().all()
    assert rows.loc["a_model", "rank"] == 1


def test_reported_metrics_are_neither_scaled_nor_uninformative() -> None:
    values = VALUES | {"split_half": (0.0, 0.0, 0.0)}
    rows = suite(leaderboard(table(values, "pearson_delta_shared"), METRICS), "pearson_delta_shared")
    assert rows.loc["a_model", "status"] == "ok"
    assert rows["scaled"].isna().all()


def test_p2n_is_measured_from_the_training_controls() -> None:
    assert (baseline_of("n2p"), baseline_of("p2n")) == ("train_mean", "train_control")
    values = VALUES | {"train_control": (0.2, 0.3, 0.5)}  # mean 0.3
    rows = suite(leaderboard(table(values, direction="p2n"), METRICS))
    assert rows.loc["a_model", "scaled"] == pytest.approx(0.2 / 0.3)


def test_a_failure_is_named_beside_uninformative() -> None:
    values = {
        "no_change": (0.0,) * 3,
        "train_mean": (0.5,) * 3,
        "split_half": (0.1,) * 3,
        "a_model": ("failed", 0.6, 0.6),
    }
    row = suite(leaderboard(table(values), METRICS)).loc["a_model"]
    assert row["reason"].startswith("A/p1: because of p1; uninformative: the split half")
    assert (row["status"], row["n_failed"]) == ("uninformative", 1)


def test_one_more_model_never_moves_anothers_scaled_score() -> None:
    scores = run_scores("n2p")
    keys = ["level", "context", "model", "metric"]
    together = leaderboard(scores, METRICS, n_boot=50).set_index(keys)["scaled"]
    alone = leaderboard(scores[scores["model"] != "gears"], METRICS, n_boot=50).set_index(keys)["scaled"]
    pd.testing.assert_series_equal(together[alone.index], alone)
    assert alone.notna().sum() > 100


def test_the_best_is_compared_by_paired_draws() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 30)
    shift = {"best": 0.0, "twin": 0.0, "near": -0.001, "far": -0.5}
    noise = {name: rng.normal(0, 0.02, 30) * (name in ("near", "far")) for name in shift}
    cells = {
        (name, "A", f"p{n:02d}", "pearson_delta"): hard[n] + shift[name] + noise[name][n]
        for name in shift
        for n in range(30)
    }
    rows = suite(leaderboard(score_rows(cells), METRICS))
    assert rows.loc[["best", "twin"], "rank"].tolist() == [1, 1]
    assert rows.loc[["best", "twin"], "p_best"].tolist() == [1, 1]
    assert rows.loc["near", "p_best"] > 0.05
    # never below 0 in 2,000 draws: 2 · 1 / 2001, times the three tests
    assert rows.loc["far", "p_best"] == pytest.approx(3 * 2 / 2001)
