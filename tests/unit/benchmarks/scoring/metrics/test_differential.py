"""Differential expression: worked by hand, and against scikit-learn, SciPy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from benchmarks.scoring.metrics import differential
from benchmarks.scoring.metrics.rank_sum import rank_sum, sort_cells


def mask(*genes: int, of: int = 6) -> np.ndarray:
    return np.isin(np.arange(of), genes)[None]


def test_des_by_hand():
    truth = mask(0, 1, 2)
    lfc_hat = np.array([[3.0, 0.5, -2.0, 1.0, -4.0, 9.0]])
    # the three largest of 0, 2, 3, 4 are 4, 0, 2: two of them are true; gene 5 is not significant
    assert differential.des(truth, mask(0, 2, 3, 4), lfc_hat)[0] == pytest.approx(2 / 3)
    # fewer than three predicted: all are taken
    assert differential.des(truth, mask(0), lfc_hat)[0] == pytest.approx(1 / 3)
    assert differential.des(truth, mask(), lfc_hat)[0] == 0.0
    assert np.isnan(differential.des(mask(), mask(0), lfc_hat)[0])


def test_des_shares_last_places_among_ties():
    # n = 2; gene 0 is first, and 1, 2, 3 and 4 share the one place that is left, a quarter each
    lfc_hat = np.array([[5.0, 1.0, -1.0, 1.0, -1.0, 0.0]])
    predicted = mask(0, 1, 2, 3, 4)
    assert differential.des(mask(0, 1), predicted, lfc_hat)[0] == pytest.approx((1 + 1 / 4) / 2)
    assert differential.des(mask(0, 4), predicted, lfc_hat)[0] == pytest.approx((1 + 1 / 4) / 2)
    assert differential.des(mask(1, 2), predicted, lfc_hat)[0] == pytest.approx((2 / 4) / 2)
    assert differential.des(mask(0, 1), predicted, 0 * lfc_hat)[0] == pytest.approx(2 * (2 / 5) / 2)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), genes=st.integers(1, 30))
def test_des_without_ties_is_overlap_of_lists(seed, genes):
    generator = np.random.default_rng(seed)
    truth, predicted = generator.random((2, genes)) < 0.5
    lfc_hat = generator.normal(size=genes)
    called = [g for g in np.argsort(-np.abs(lfc_hat)) if predicted[g]][: truth.sum()]
    value = differential.des(truth[None], predicted[None], lfc_hat[None])[0]
    if truth.any():
        assert value == pytest.approx(len(set(called) & set(np.flatnonzero(truth))) / truth.sum())
    else:
        assert np.isnan(value)


def test_jaccard_by_hand():
    assert differential.de_jaccard(mask(0, 1, 2), mask(1, 2, 3, 4))[0] == pytest.approx(2 / 5)
    assert differential.de_jaccard(mask(0, 1), mask())[0] == 0.0
    assert np.isnan(differential.de_jaccard(mask(), mask())[0])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), genes=st.integers(2, 40), digits=st.sampled_from([1, 2, 15]))
def test_areas_equal_sklearn(seed, genes, digits):
    generator = np.random.default_rng(seed)
    truth = generator.random((3, genes)) < 0.4
    p = (0.05 + 0.95 * generator.random((3, genes))).round(digits)
    areas, precisions = differential.de_auroc(truth, p), differential.de_auprc(truth, p)
    for row in range(3):
        score = -np.log10(p[row])
        if truth[row].any():
            assert precisions[row] == pytest.approx(average_precision_score(truth[row], score), abs=1e-12)
        else:
            assert np.isnan(precisions[row])
        if truth[row].any() and not truth[row].all():
            assert areas[row] == pytest.approx(roc_auc_score(truth[row], score), abs=1e-12)
        else:
            assert np.isnan(areas[row])


def test_p_value_zero_comes_first():
    p = np.array([[0.0, 0.0, 1e-320, 0.5, 1.0, 1.0]])
    assert differential.de_auroc(mask(0, 1), p)[0] == 1.0
    assert differential.de_auprc(mask(0, 1, 2), p)[0] == 1.0
    assert differential.de_auroc(mask(0), p)[0] == pytest.approx(4.5 / 5)
    np.testing.assert_array_equal(differential.de_auroc(mask(0, 3), np.ones((1, 6))), 0.5)
    assert differential.de_auprc(mask(0, 3), np.ones((1, 6)))[0] == pytest.approx(1 / 3)


def test_lfc_spearman_uses_significant_genes():
    generator = np.random.default_rng(0)
    lfc, lfc_hat = generator.normal(size=(2, 1, 30))
    significant = generator.random((1, 30)) < 0.5
    expected = spearmanr(lfc[significant], lfc_hat[significant]).statistic
    assert differential.de_lfc_spearman(significant, lfc, lfc_hat)[0] == pytest.approx(expected)
    assert np.isnan(differential.de_lfc_spearman(mask(3, of=30), lfc, lfc_hat)[0])


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_linear_mean_of_logged_values(form):
    linear = np.random.default_rng(0).poisson(1.0, (40, 9)).astype(np.float64)
    logged = np.log2(linear + 1)
    logged[0, 0] = -3.0  # below zero, as some models predict: counts as none
    linear[0, 0] = 0.0
    np.testing.assert_allclose(differential.linear_mean(sort_cells(form(logged))), linear.mean(axis=0), rtol=1e-12)


def test_extreme_prediction_has_finite_fold_change():
    wild, reference = sort_cells(np.full((4, 2), 1e6)), sort_cells(np.zeros((4, 2)))
    tests = differential.test_genes(
        wild, reference, differential.linear_mean(wild), differential.linear_mean(reference)
    )
    np.testing.assert_allclose(tests.lfc, 1000.0)


def test_genes_are_tested_at_fdr():
    generator = np.random.default_rng(0)
    reference = np.log2(1 + generator.poisson(4.0, (80, 60)))
    cells = np.log2(1 + generator.poisson(np.where(np.arange(60) < 12, 7.0, 4.0), (50, 60)))
    ours, theirs = sort_cells(cells), sort_cells(reference)
    means = differential.linear_mean(ours), differential.linear_mean(theirs)
    tests = differential.test_genes(ours, theirs, *means)
    np.testing.assert_array_equal(tests.p, rank_sum(ours, theirs))
    np.testing.assert_array_equal(tests.significant(), multipletests(tests.p, 0.05, method="fdr_bh")[0])
    np.testing.assert_allclose(tests.lfc, np.log2((2**cells).mean(axis=0) / (2**reference).mean(axis=0)))
    assert 6 <= tests.significant()[:12].sum() <= 12
    assert tests.significant()[12:].sum() <= 3


def test_fold_change_without_linear_values_is_difference():
    cells, reference = np.random.default_rng(0).normal(size=(2, 30, 5))
    means = cells.mean(axis=0), reference.mean(axis=0)
    tests = differential.test_genes(sort_cells(cells), sort_cells(reference), *means, linear=False)
    np.testing.assert_array_equal(tests.lfc, means[0] - means[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_equal_scipy(p):
    expected = false_discovery_control(p)
    assert differential.adjusted(np.array(p)) == pytest.approx(expected, abs=1e-15)


def test_genes_left_out_are_not_tested():
    p = np.array([1e-9, 0.011, 0.02, 0.9, 0.95])
    tests = differential.Tests(p, np.zeros(5))
    assert tests.significant().tolist() == [True, True, True, False, False]
    # without gene 0 the next is the smallest of four, 0.011 · 4, and the third 0.02 · 2
    assert tests.significant(np.array([0])).tolist() == [False, True, True, False, False]
    assert tests.significant(np.array([0, 2])).tolist() == [False, True, False, False, False]
    moved = differential.Tests(np.where(np.arange(5) == 0, 0.99, p), np.zeros(5))
    assert moved.significant().tolist() == [False] * 5, "a gene that is tested moves the threshold of the others"
    assert moved.significant(np.array([0])).tolist() == tests.significant(np.array([0])).tolist()


def test_des_does_not_rank_rounding():
    significant, called = np.array([[True, False, True, False]]), np.ones((1, 4), dtype=bool)
    for noise in (0.0, 1e-7, -1e-7):
        lfc = np.array([[2.0 + noise, 2.0, -2.0 + noise, 2.0 - noise]])
        assert differential.des(significant, called, lfc)[0] == 0.5


def test_areas_leave_genes_out():
    significant, p = np.array([[False, True, False, True, False]]), np.array([[1e-30, 0.1, 0.2, 0.3, 0.4]])
    others = np.array([[False, True, True, True, True]])
    for function in (differential.de_auroc, differential.de_auprc):
        assert function(significant, p, others)[0] == function(significant[:, 1:], p[:, 1:])[0]
        assert function(significant, p)[0] < function(significant, p, others)[0]
