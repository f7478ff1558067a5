"""Friedman, Nemenyi and wins against printed and hand-computed values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from reports.stats.condition_values import condition_values, score_matrices
from reports.stats.ranks import critical_difference, friedman, rank_models
from tests.unit.reports.result_tables import metrics_table, score_rows

METRICS = metrics_table()


def ranked(values: dict[str, list[object]], metric: str = "pearson_delta") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the two tables of models' values on the conditions of one context."""
    cells = {(model, "A", f"p{n}", metric): value for model, scores in values.items() for n, value in enumerate(scores)}
    return rank_models(score_matrices(condition_values(score_rows(cells), METRICS), METRICS))


def test_friedman_by_hand() -> None:
    # ranks 1 2 3 on three of four conditions, 2 1 3 on one: mean ranks 1.25, 1.75, 3
    goodness = np.array([[3, 2, 1], [9, 5, 2], [0.3, 0.2, 0.1], [5, 6, 1]], dtype=float)
    means, statistic, p = friedman(goodness)
    np.testing.assert_allclose(means, [1.25, 1.75, 3.0])
    # 12 / (n k (k + 1)) Σ R² − 3 n (k + 1) with rank sums 5, 7, 12
    assert statistic == pytest.approx(12 / (4 * 3 * 4) * (25 + 49 + 144) - 3 * 4 * 4)
    assert p == pytest.approx(np.exp(-statistic / 2))  # χ² with 2 degrees of freedom


def test_friedman_agrees_with_scipy_with_ties() -> None:
    goodness = np.random.default_rng(1).integers(0, 4, (25, 6)).astype(float)
    _, statistic, p = friedman(goodness)
    theirs = friedmanchisquare(*goodness.T)
    assert (statistic, p) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_all_tied_is_no_difference_and_two_models_no_test() -> None:
    assert friedman(np.ones((5, 4)))[1:] == (0.0, 1.0)
    assert np.isnan(friedman(np.array([[1.0, 2.0], [1.0, 2.0]]))[1:]).all()


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (7, 2.949), (10, 3.164)])
def test_the_critical_difference_has_the_printed_q(k: int, q: float) -> None:
    # Demšar 2006, table 5(a)
    assert critical_difference(k, 30) == pytest.approx(q * np.sqrt(k * (k + 1) / 180), abs=1e-3)


def test_critical_difference_for_five_models_and_thirty_conditions() -> None:
    assert critical_difference(5, 30) == pytest.approx(1.1136, abs=1e-3)


def test_mean_ranks_follow_the_direction_and_share_ties() -> None:
    values = {"a": [0.1, 0.1, 0.1, 0.4], "b": [0.2, 0.2, 0.1, 0.1], "c": [0.3, 0.3, 0.3, 0.5]}
    up = ranked(values)[0].set_index("model")["mean_rank"]
    down = ranked(values, "mse")[0].set_index("model")["mean_rank"]
    assert up.to_dict() == {"a": (3 + 3 + 2.5 + 2) / 4, "b": (2 + 2 + 2.5 + 3) / 4, "c": 1.0}
    assert down.to_dict() == {"a": (1 + 1 + 1.5 + 2) / 4, "b": (2 + 2 + 1.5 + 1) / 4, "c": 3.0}


def test_wins_by_hand_ties_half() -> None:
    wins = (
        ranked({"a": [0.3, 0.3, 0.2, 0.1], "b": [0.1, 0.1, 0.2, 0.4]})[1]
        .set_index(["model", "other"])
        .sort_index()["wins"]
    )
    assert wins.to_dict() == {("a", "b"): 2.5 / 4, ("b", "a"): 1.5 / 4}


def test_wins_are_corrected_over_all_pairs() -> None:
    base = np.linspace(0.1, 0.3, 10)
    wins = ranked({"a": list(base + 0.02 + base / 50), "b": list(base), "c": list(base)})[1].set_index(
        ["model", "other"]
    )
    # ten of ten better: exact p = 2 / 2¹⁰; three pairs, two of them with this p
    assert wins.loc[("a", "b"), "p_wilcoxon"] == pytest.approx(2 / 1024)
    assert wins.loc[("a", "b"), "p_holm"] == pytest.approx(6 / 1024)
    assert wins.loc[("b", "a"), "p_holm"] == pytest.approx(6 / 1024)
    assert wins.loc[("b", "c"), ["wins", "p_holm"]].tolist() == [0.5, 1.0]


def test_who_has_no_value_is_not_ranked_and_who_failed_takes_no_changes() -> None:
    values = {"no_change": [0.1, 0.1, 0.1], "a": [0.3, "failed", 0.3], "b": ["unsupported"] * 3}
    friedman_table, wins = ranked(values)
    assert friedman_table["model"].tolist() == ["a", "no_change"]
    assert wins.set_index(["model", "other"]).sort_index().loc[("a", "no_change"), "wins"] == pytest.approx(2.5 / 3)
