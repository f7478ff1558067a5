"""Retrieval: worked by hand, ties, combinations, and a plain loop to compare with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from benchmarks.scoring.metrics import retrieval

NONE = np.full(4, -1)


def test_cosine_by_hand():
    truth = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    predicted = np.array([[0.9, 0.1, 0], [1.0, 0.2, 0], [0, 0, 1], [0, 0, -1]])
    # row 0 meets its own; row 1 is nearer to 0 and 3 than to 1; row 2 is right; row 3 is as far (0) from 0, 1 and itself
    np.testing.assert_allclose(retrieval.pds_cosine(truth, predicted), [1.0, 1 - 2 / 3, 1.0, 1 - 1 / 3])


def test_city_block_by_hand():
    truth = np.array([[0.0, 0], [1, 0], [4, 0], [9, 0]])
    predicted = np.array([[0.1, 0], [3.0, 0], [4.0, 0], [0.5, 0]])
    # own first; row 1: truth 2 (1) is nearer than its own (2); own first; row 3: its own is the farthest
    np.testing.assert_allclose(retrieval.pds(truth, predicted, NONE), [1.0, 1 - 1 / 4, 1.0, 1 - 3 / 4])
    # row 3 of another prediction lies half-way between truths 0 and 1, but its own is farthest still
    np.testing.assert_allclose(retrieval.pds(truth, np.full((4, 2), [0.5, 0.0]), NONE)[:2], 1 - 0.5 / 4)


def test_ties_score_chance():
    np.testing.assert_array_equal(retrieval.pds_cosine(np.eye(4), np.zeros((4, 4))), 0.5)
    np.testing.assert_array_equal(retrieval.pds_cosine(np.eye(4), np.full((4, 4), 2.0)), 0.5)
    np.testing.assert_allclose(retrieval.pds_cosine(np.ones((4, 3)) * [1, 2, 3], np.ones((4, 3)) * [3, 1, 2]), 0.5)
    np.testing.assert_array_equal(retrieval.pds(np.eye(4), np.zeros((4, 4)), NONE), 5 / 8)  # (N + 1) / 2N
    np.testing.assert_array_equal(retrieval.pds(np.ones((4, 3)), np.zeros((4, 3)), NONE), 5 / 8)
    np.testing.assert_array_equal(retrieval.centroid_accuracy(np.eye(4), np.zeros((4, 4))), 0.0)
    np.testing.assert_array_equal(retrieval.rank_perturbench(np.eye(4), np.zeros((4, 4))), 1.5 / 4)


def test_own_gene_is_left_out():
    # the knocked-down gene alone would find every condition; without it the predictions are all alike
    truth = -5 * np.eye(4, 6)
    predicted = -5 * np.eye(4, 6)
    np.testing.assert_array_equal(retrieval.pds(truth, predicted, NONE), 1.0)
    np.testing.assert_array_equal(retrieval.pds(truth, np.zeros((4, 6)), np.arange(4)), 1.0)  # its own truth is 0 then
    rest = np.arange(24.0).reshape(4, 6) % 7
    with_own, without = rest.copy(), rest.copy()
    with_own[np.arange(4), np.arange(4)] += 1e3
    np.testing.assert_array_equal(
        retrieval.pds(rest, with_own, np.arange(4)), retrieval.pds(rest, without, np.arange(4))
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 7), ties=st.booleans())
def test_retrieval_equals_plain_loop(seed, n, ties):
    generator = np.random.default_rng(seed)
    t, p = generator.normal(size=(2, n, 6)).round(0 if ties else 12)
    own = np.stack([generator.integers(-1, 3, n), generator.integers(3, 6, n)], axis=1)
    pds, centroid, rank = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        keep = ~np.isin(np.arange(6), own[i])
        city = np.array([np.abs(p[i, keep] - t[q, keep]).sum() for q in range(n)])
        near = (city < city[i] - 1e-9).sum() + 0.5 * ((np.abs(city - city[i]) <= 1e-9).sum() - 1)
        pds[i] = 1 - near / n
        to_truth = np.array([np.linalg.norm(p[i] - t[q]) for q in range(n)])
        centroid[i] = (to_truth > to_truth[i] + 1e-9).sum() / (n - 1)
        to_output = np.array([np.linalg.norm(t[i] - p[q]) for q in range(n)])
        tied = (np.abs(to_output - to_output[i]) <= 1e-9).sum() - 1
        rank[i] = ((to_output < to_output[i] - 1e-9).sum() + 0.5 * tied) / n
    np.testing.assert_allclose(retrieval.pds(t, p, own), pds)
    np.testing.assert_allclose(retrieval.centroid_accuracy(t, p), centroid)
    np.testing.assert_allclose(retrieval.rank_perturbench(t, p), rank)


def test_centroid_accuracy_by_hand():
    truth = np.array([[0.0], [1.0], [3.0], [7.0]])
    predicted = np.array([[0.4], [2.5], [0.0], [2.0]])
    # 0.4: all others farther. 2.5: 3 is nearer, 0 and 7 are farther. 0: 0 and 1 nearer. 2: only ... 7 is the farthest
    np.testing.assert_allclose(retrieval.centroid_accuracy(truth, predicted), [1.0, 2 / 3, 1 / 3, 0.0])


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10))
def test_cosine_retrieval_ignores_scale(seed, scale):
    truth, predicted = np.random.default_rng(seed).normal(size=(2, 4, 7))
    np.testing.assert_allclose(
        retrieval.pds_cosine(truth, predicted * scale), retrieval.pds_cosine(truth, predicted), atol=1e-12
    )


def test_extreme_prediction_leaves_others_unchanged():
    truth = np.random.default_rng(0).normal(size=(5, 50))
    predicted = truth.copy()
    predicted[0] = 1e8
    np.testing.assert_array_equal(retrieval.rank_perturbench(truth, predicted)[1:], 0.0)
    np.testing.assert_array_equal(retrieval.centroid_accuracy(truth, predicted)[1:], 1.0)


@pytest.mark.parametrize("fn", [retrieval.centroid_accuracy, retrieval.rank_perturbench])
def test_common_offset_leaves_distances_unchanged(fn):
    truth = np.random.default_rng(0).normal(size=(6, 50))
    predicted = truth + np.random.default_rng(1).normal(size=(6, 50))
    np.testing.assert_array_equal(fn(truth + 1e6, predicted + 1e6), fn(truth, predicted))


@pytest.mark.parametrize(("n", "genes"), [(3, 5), (65, 70), (130, 1030)])
def test_city_block_distances_equal_scipy(n, genes):
    truth, predicted = np.random.default_rng(n).normal(size=(2, n, genes))
    distance = cdist(predicted, truth, "cityblock")
    nearer = (distance < np.diag(distance)[:, None]).sum(axis=1)
    np.testing.assert_allclose(retrieval.pds(truth, predicted, np.full(n, -1)), 1 - nearer / n)
