"""Profiles and changes: worked by hand, and against SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.scoring.metrics import change, profile
from benchmarks.scoring.metrics.all_metrics import find_metric

VALUES = st.floats(-10, 10, allow_nan=False, width=32)
PROFILES = arrays(np.float64, (3, 7), elements=VALUES)


def test_r2_differs_from_squared_correlation():
    truth = np.array([[2.0, 4.0, 6.0, 8.0]])
    predicted = 3 * truth - 10
    assert profile.pearson(truth, predicted)[0] == pytest.approx(1.0)
    assert profile.r2_pearson(truth, predicted)[0] == pytest.approx(1.0)
    assert profile.r2(truth, predicted)[0] == pytest.approx(-3.0)


def test_profile_metrics_by_hand():
    truth, predicted = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 4.0, 2.0]])
    assert profile.mse(truth, predicted)[0] == pytest.approx(5 / 3)
    assert profile.rmse(truth, predicted)[0] == pytest.approx(np.sqrt(5 / 3))
    assert profile.mae(truth, predicted)[0] == pytest.approx(1.0)
    assert profile.r2(truth, predicted)[0] == pytest.approx(1 - 5 / 2)


def test_r2_of_constant_truth():
    np.testing.assert_array_equal(profile.r2(np.ones((2, 3)), np.array([[1.0, 1, 1], [1, 1, 2]])), [1.0, 0.0])


@given(truth=PROFILES, predicted=PROFILES)
def test_profile_and_change_equal_scipy_and_sklearn(truth, predicted):
    pearson, r2 = profile.pearson(truth, predicted), profile.r2(truth, predicted)
    spearman, cosine = change.spearman_delta(truth, predicted), change.cosine_delta(truth, predicted)
    for row, (t, p) in enumerate(zip(truth, predicted, strict=True)):
        if min(np.ptp(t), np.ptp(p)) > 1e-3:
            assert pearson[row] == pytest.approx(stats.pearsonr(t, p).statistic, abs=1e-7)
            ranked = (np.where(np.abs(x) <= 1e-6, 0, x) for x in (t, p))
            assert spearman[row] == pytest.approx(stats.spearmanr(*ranked).statistic, abs=1e-9)
            assert cosine[row] == pytest.approx(cosine_similarity(t[None], p[None])[0, 0], abs=1e-9)
            assert r2[row] == pytest.approx(r2_score(t, p), rel=1e-9)


@given(x=arrays(np.float64, (3, 7), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, 1e9])))
def test_mid_ranks_equal_scipy(x):
    np.testing.assert_array_equal(change.mid_ranks(x), stats.rankdata(x, axis=1))


def test_sums_are_float64():
    truth = np.full((1, 100_000), 4096.0, dtype=np.float32)
    predicted = truth + np.float32(0.5)
    assert profile.mse(truth, predicted)[0] == 0.25
    assert profile.mae(truth, predicted)[0] == 0.5


def test_cosine_sees_common_shift():
    delta, delta_hat = np.array([[1.0, -1.0, 0.0]]), np.array([[3.0, 1.0, 2.0]])
    assert change.pearson_delta(delta, delta_hat)[0] == pytest.approx(1.0)
    assert change.cosine_delta(delta, delta_hat)[0] == pytest.approx(2 / np.sqrt(2 * 14))


def test_sign_accuracy_by_hand():
    delta = np.array([[1.0, -2.0, 3.0, -4.0, 5.0]])
    delta_hat = np.array([[0.1, 2.0, 0.0, -1.0, -5.0]])
    significant = np.array([[True, True, True, True, False]])
    assert change.sign_accuracy(delta, delta_hat, significant)[0] == 0.5  # right, wrong, 0 is wrong, right
    assert change.sign_accuracy(delta * [1, 0, 0, 1, 1], delta_hat, significant)[0] == 1.0  # no true sign, not asked


@pytest.mark.parametrize("function", [change.spearman_delta, change.sign_accuracy])
def test_rounding_is_not_ranked(function):
    """A model that changes few genes: elsewhere rounding of float32 stands for no change; and likewise in the truth."""
    generator = np.random.default_rng(4)
    delta, delta_hat = generator.normal(0, 0.3, (2, 3, 2000))
    delta_hat[:, 20:] = 0.0
    delta[:, 1500:] = 0.0
    rounding = generator.uniform(-9e-7, 9e-7, (2, 3, 2000))
    everywhere = [np.ones((3, 2000), dtype=bool)] * (function is change.sign_accuracy)
    exact = function(delta, delta_hat, *everywhere)
    rounded = [np.where(x == 0, noise, x) for x, noise in zip((delta, delta_hat), rounding, strict=True)]
    np.testing.assert_array_equal(function(*rounded, *everywhere), exact)
    assert len(np.unique(exact)) == 3


def test_own_gene_is_left_out_of_ranked_changes():
    generator = np.random.default_rng(6)
    delta, delta_hat = generator.normal(size=(2, 4, 30))
    other_genes = np.ones((4, 30), dtype=bool)
    other_genes[[0, 1, 1], [3, 5, 6]] = False
    for name in ("pearson_delta", "spearman_delta", "cosine_delta", "pearson_delta_centroid"):
        values = find_metric(name).function(delta, delta_hat, other_genes)
        plain = getattr(change, name)
        for row, others in enumerate(other_genes):
            assert values[row] == pytest.approx(
                plain(delta[row : row + 1, others], delta_hat[row : row + 1, others])[0]
            )
        if name != "pearson_delta_centroid":
            everything = find_metric(f"{name}_all_genes").function(delta, delta_hat)
            np.testing.assert_array_equal(everything, plain(delta, delta_hat))
            assert (np.abs(everything - values)[:2] > 1e-6).all()


def test_nmae_lfc_needs_ten_genes():
    delta, delta_hat = np.full((1, 12), 2.0), np.full((1, 12), 1.5)
    significant = np.arange(12)[None] < 10
    delta_hat[0, 10:] = 99.0  # not significant, not looked at
    assert change.nmae_lfc(delta, delta_hat, significant)[0] == pytest.approx(0.25)
    assert change.nmae_lfc(delta, np.zeros((1, 12)), significant)[0] == pytest.approx(1.0)
    assert np.isnan(change.nmae_lfc(delta, delta_hat, np.arange(12)[None] < 9)[0])


def test_top_genes_differ_by_condition():
    generator = np.random.default_rng(0)
    delta, delta_hat = generator.normal(size=(2, 4, 40))
    mask = np.zeros((4, 40), dtype=bool)
    mask[0, :20], mask[1, 10:30], mask[3, 5:9] = True, True, True
    values = find_metric("pearson_delta_top20_truth").function(delta, delta_hat, mask)
    for row in (0, 1, 3):
        expected = stats.pearsonr(delta[row, mask[row]], delta_hat[row, mask[row]]).statistic
        assert values[row] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(values[2])


def test_mean_effect_scores_zero_when_centred():
    generator = np.random.default_rng(1)
    effect = generator.normal(size=(1, 200))
    delta = 3 * effect + generator.normal(size=(20, 200))
    assert change.pearson_delta(delta, np.repeat(3 * effect, 20, axis=0)).mean() > 0.9
    np.testing.assert_array_equal(change.pearson_delta_centroid(delta - 3 * effect, np.zeros((20, 200))), 0.0)
