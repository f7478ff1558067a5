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


RANKED = (retrieval.pds, retrieval.pds_cosine, retrieval.centroid_accuracy, retrieval.rank_perturbench)


def test_published_definitions_are_reached_by_names():
    truth = np.random.default_rng(0).normal(0, 0.1, (4, 40))
    truth[np.arange(4), np.arange(4)] = -5.0
    own, names = np.arange(4), np.zeros((4, 40))
    names[own, own] = -1.0
    np.testing.assert_array_equal(retrieval.pds_cosine_vcc(truth, names), 1.0)
    np.testing.assert_array_equal(retrieval.pds_vcc(truth, names, NONE), 1.0)
    others = np.where(np.arange(40) < 4, 1.0, 0.0) + names  # all other targets raised, the own one left out
    np.testing.assert_array_equal(retrieval.pds_vcc(truth, others, own), 1.0)
    np.testing.assert_array_equal(
        retrieval.pds_vcc(truth, np.zeros((4, 40)), own), 1.0
    )  # each truth stands out to others


@pytest.mark.parametrize("fn", RANKED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("own", [np.arange(4), np.array([[0, 4], [1, -1], [-1, 2], [3, 5]])])
def test_perturbed_genes_of_all_candidates_are_left_out(fn, own):
    truth, predicted = np.random.default_rng(1).normal(size=(2, 4, 30))
    plain, moved = fn(truth, predicted, own), (truth.copy(), predicted.copy())
    for values in moved:
        values[:, own[own >= 0]] += np.random.default_rng(2).normal(0, 100, (4, (own >= 0).sum()))
    np.testing.assert_array_equal(fn(*moved, own), plain)
    assert fn(truth, predicted, own) == pytest.approx(fn(*(np.delete(x, own[own >= 0], 1) for x in (truth, predicted))))


@pytest.mark.parametrize("fn", RANKED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [1e-7, 8e-7])
def test_rounding_is_not_ranked(fn, size):
    generator = np.random.default_rng(3)
    truth = generator.normal(size=(12, 300))
    alike = np.repeat(generator.normal(size=(1, 300)), 12, axis=0)
    rounded = alike + generator.uniform(-size, size, alike.shape)
    np.testing.assert_array_equal(fn(truth, rounded), fn(truth, alike))
    no_change = generator.uniform(-size, size, alike.shape)
    np.testing.assert_array_equal(fn(truth, no_change), fn(truth, np.zeros_like(truth)))
    near = truth[:1] + generator.uniform(-size / 2, size / 2, truth.shape)  # truths that are one, up to rounding
    np.testing.assert_array_equal(fn(near, alike), fn(np.repeat(truth[:1], 12, axis=0), alike))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 7), ties=st.booleans())
def test_retrieval_equals_plain_loop(seed, n, ties):
    generator = np.random.default_rng(seed)
    t, p = generator.normal(size=(2, n, 8)).round(0 if ties else 3)
    own = np.stack([generator.integers(-1, 3, n), generator.integers(3, 6, n)], axis=1)
    pds, pds_vcc, centroid, rank = np.zeros((4, n))
    for i in range(n):
        for found, left_out in ((pds, own), (pds_vcc, own[i])):
            keep = ~np.isin(np.arange(8), left_out)
            city = np.array([np.abs(p[i, keep] - t[q, keep]).sum() for q in range(n)])
            near = (city < city[i] - 1e-5).sum() + 0.5 * ((np.abs(city - city[i]) <= 1e-5).sum() - 1)
            found[i] = 1 - near / n
        to_truth = np.array([np.linalg.norm(p[i] - t[q]) for q in range(n)])
        centroid[i] = (to_truth > to_truth[i] + 1e-5).sum() / (n - 1)
        to_output = np.array([np.linalg.norm(t[i] - p[q]) for q in range(n)])
        tied = (np.abs(to_output - to_output[i]) <= 1e-5).sum() - 1
        rank[i] = ((to_output < to_output[i] - 1e-5).sum() + 0.5 * tied) / n
    np.testing.assert_allclose(retrieval.pds(t, p, own), pds)
    np.testing.assert_allclose(retrieval.pds_vcc(t, p, own), pds_vcc)
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
