"""Metrics: hand-worked values, invariances, ties and degenerate input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import r2_score

from benchmarks.errors import UnknownName
from benchmarks.metrics import METRICS, change, copying, distribution, find_metric, profile

VALUES = st.floats(-10, 10, allow_nan=False, width=32)
PROFILES = arrays(np.float64, (3, 7), elements=VALUES)


def test_r2_and_squared_correlation_differ_where_they_should():
    truth = np.array([[2.0, 4.0, 6.0, 8.0]])
    predicted = 3 * truth - 10
    assert profile.r2_pearson(truth, predicted)[0] == pytest.approx(1.0)
    assert profile.r2(truth, predicted)[0] == pytest.approx(-3.0)


def test_profile_metrics_by_hand():
    truth, predicted = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 4.0, 2.0]])
    assert profile.mse(truth, predicted)[0] == pytest.approx(5 / 3)
    assert profile.mae(truth, predicted)[0] == pytest.approx(1.0)
    assert profile.r2(truth, predicted)[0] == pytest.approx(1 - 5 / 2)


@given(truth=PROFILES, predicted=PROFILES)
def test_profile_metrics_agree_with_scipy_and_sklearn(truth, predicted):
    for t, p, ours, r2 in zip(
        truth, predicted, profile.pearson(truth, predicted), profile.r2(truth, predicted), strict=True
    ):
        if min(np.ptp(t), np.ptp(p)) > 1e-3:
            assert ours == pytest.approx(stats.pearsonr(t, p).statistic, abs=1e-7)
            assert r2 == pytest.approx(r2_score(t, p), rel=1e-9)


@given(truth=PROFILES, predicted=PROFILES, seed=st.integers(0, 1000))
def test_gene_order_does_not_matter(truth, predicted, seed):
    order = np.random.default_rng(seed).permutation(truth.shape[1])
    for metric in METRICS:
        if metric.needs in ("profiles", "changes", "shared changes", "retrieval"):
            np.testing.assert_allclose(
                metric.fn(truth[:, order], predicted[:, order]), metric.fn(truth, predicted), rtol=1e-6, atol=1e-9
            )


@given(truth=PROFILES)
def test_the_truth_itself_reaches_the_best_value(truth):
    spread = truth + np.arange(7) + 30 * np.eye(3, 7)  # every row varies, no two are alike
    for metric in METRICS:
        if metric.needs in ("profiles", "changes", "shared changes", "retrieval"):
            np.testing.assert_allclose(metric.fn(spread, spread), metric.best, atol=1e-9)


@pytest.mark.parametrize("flat", [np.zeros((1, 5)), np.full((1, 5), 3.0), np.full((1, 5), 3.0) + 1e-8 * np.arange(5)])
def test_a_constant_change_scores_zero_never_nan(flat):
    assert change.pearson_delta(np.arange(5.0)[None], flat)[0] == 0
    assert change.pearson_delta(flat, np.arange(5.0)[None])[0] == 0


def test_retrieval_by_hand():
    truth = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    predicted = np.array([[0.9, 0.1, 0], [1.0, 0.2, 0], [0, 0, 1], [0, 0, -1]])
    # row 0 meets its own; row 1 is nearer to 0 and 3 than to 1; row 2 is right; row 3 is as far (0) from 0, 1 and itself
    np.testing.assert_allclose(change.pds_cosine(truth, predicted), [1.0, 1 - 2 / 3, 1.0, 1 - 1 / 3])


def test_retrieval_ties_are_chance():
    truth = np.eye(4)
    np.testing.assert_array_equal(change.pds_cosine(truth, np.zeros((4, 4))), 0.5)
    np.testing.assert_array_equal(change.pds_cosine(truth, np.full((4, 4), 2.0)), 0.5)
    np.testing.assert_allclose(change.pds_cosine(np.ones((4, 3)) * [1, 2, 3], np.ones((4, 3)) * [3, 1, 2]), 0.5)


@given(truth=PROFILES, predicted=PROFILES, scale=st.floats(0.1, 10))
def test_retrieval_is_bounded_and_ignores_scale(truth, predicted, scale):
    base = change.pds_cosine(truth, predicted)
    assert ((base >= 0) & (base <= 1)).all()
    if np.ptp(predicted, axis=1).min() > 1e-3:
        np.testing.assert_allclose(change.pds_cosine(truth, predicted * scale), base, atol=1e-12)


def test_energy_distance_by_hand():
    # cross distances 1, 3, 1, 1: 2 · 1.5; within 2 and 2
    assert distribution.e_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])) == pytest.approx(3.0 - 2 - 2)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (20, 2000), (1000, 1000)])
def test_energy_distance_of_equal_distributions_is_zero_within_error(n, m):
    generator = np.random.default_rng(0)
    values = [distribution.e_distance(generator.normal(size=(n, 5)), generator.normal(size=(m, 5))) for _ in range(20)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values)) + 1e-9


def test_energy_distance_sees_a_shift_and_is_symmetric():
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(80, 3)), generator.normal(1.0, size=(80, 3))
    assert distribution.e_distance(x, y) == pytest.approx(distribution.e_distance(y, x))
    assert distribution.e_distance(x, y) > 0.5
    with pytest.raises(ValueError, match="at least 2 cells"):
        distribution.e_distance(x[:1], y)


@given(n=st.integers(2, 30), m=st.integers(2, 30), seed=st.integers(0, 100))
def test_sizes_are_made_equal_without_repeats(n, m, seed):
    a, b = distribution.equal_sizes(np.arange(n)[:, None], np.arange(m)[:, None], np.random.default_rng(seed))
    assert len(a) == len(b) == min(n, m)
    assert len(np.unique(a)) == len(a)


def test_copying_the_input_is_flagged_and_the_truth_is_not():
    generator = np.random.default_rng(2)
    start = generator.normal(2, 1, 200)
    target = start + generator.normal(0, 0.5, 200)
    cells = target + generator.normal(0, 1, (100, 200))
    bound = np.array([copying.honest_margin(cells, start, generator)])
    truth = cells.mean(axis=0)[None]
    margins = [copying.copy_margin(truth, p[None], start[None]) for p in (start, cells[:50].mean(axis=0))]
    assert [float(copying.copies_input(m, bound)[0]) for m in margins] == [1.0, 0.0]


def test_a_weak_perturbations_own_cells_are_not_called_copies():
    generator = np.random.default_rng(3)
    start = generator.normal(2, 1, 200)
    cells = start + generator.normal(0, 1, (60, 200))
    flags = []
    for _ in range(40):
        fresh = start + generator.normal(0, 1, (60, 200))
        halves = fresh[:30].mean(axis=0)[None], fresh[30:].mean(axis=0)[None]
        margin = copying.copy_margin(halves[1], halves[0], start[None])
        flags.append(copying.copies_input(margin, np.array([copying.honest_margin(cells, start, generator)]))[0])
    assert np.mean(flags) < 0.2


def test_every_metric_says_what_it_is():
    assert len({m.name for m in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert len(metric.summary) > 20
        assert metric.source
    assert not find_metric("pearson_delta_shared").scored
    with pytest.raises(UnknownName, match="Did you mean 'pearson_delta'"):
        find_metric("pearson_deltaa")
