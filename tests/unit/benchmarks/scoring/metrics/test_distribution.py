"""Distances between populations: worked by hand, against SciPy, unbiased where they say so."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from scipy.stats import wasserstein_distance

from benchmarks.scoring.metrics import distribution
from benchmarks.scoring.metrics.rank_sum import sort_cells

SIZES = [(50, 50), (20, 2000), (1000, 1000)]
few = settings(max_examples=20, deadline=None)


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    return distribution.wasserstein(sort_cells(x), sort_cells(y))


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    return distribution.mmd_rbf(x, y, 1.5)


DISTANCES = {"e_distance": distribution.e_distance, "mmd_rbf": mmd, "wasserstein": wasserstein}
every_distance = pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)


def test_energy_distance_by_hand():
    # cross distances 1, 3, 1, 1: 2 · 1.5; within 2 and 2
    assert distribution.e_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])) == pytest.approx(3.0 - 2 - 2)


def test_kernel_distance_by_hand():
    # kernel exp(−d²/2): within exp(−2) on both sides, across d = 1, 3, 1, 1
    value = distribution.mmd_rbf(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]), 1.0)
    assert value == pytest.approx(2 * np.exp(-2) - 2 * (3 * np.exp(-0.5) + np.exp(-4.5)) / 4)


def test_wasserstein_by_hand():
    x, y = np.array([[0.0, 1.0], [0.0, 0.0], [3.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 1.0]])
    # gene 0: (0, 0, 3) against (−1, 0, 1): (1 + 0 + 2) / 3; gene 1 is the same in another order
    assert wasserstein(x, y) == pytest.approx((1.0 + 0.0) / 2)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_energy_distance_of_equal_distributions_is_zero_within_error(n, m):
    generator = np.random.default_rng(0)
    draws = [(generator.normal(size=(n, 5)), generator.normal(size=(m, 5))) for _ in range(20)]
    ours = [distribution.e_distance(x, y) for x, y in draws]
    error = np.std(ours) / np.sqrt(len(ours))
    assert abs(np.mean(ours)) < 3 * error
    # the V-statistic counts each cell's distance 0 from itself: too near within, so too far across
    biased = [value + within_bias(x) + within_bias(y) for value, (x, y) in zip(ours, draws, strict=True)]
    assert np.mean(biased) > 10 * error


def within_bias(x: np.ndarray) -> float:
    """Difference between the mean over pairs of different cells and over all pairs, cells with themselves included."""
    return float(pdist(x).mean() - cdist(x, x).mean())


def test_kernel_distance_of_equal_distributions_is_zero_within_error():
    generator = np.random.default_rng(0)
    values = [mmd(generator.normal(size=(60, 5)), generator.normal(size=(40, 5))) for _ in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


@few
@given(n=st.integers(2, 40), m=st.integers(2, 40), seed=st.integers(0, 1000), far=st.sampled_from([0.0, 100.0]))
def test_distances_equal_scipy(n, m, seed, far):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(far, 1, (n, 6)), generator.normal(far + 0.5, 2, (m, 6))
    across, one, other = cdist(x, y), pdist(x), pdist(y)
    assert distribution.distance_within(x) == pytest.approx(one.mean(), rel=1e-9)
    assert distribution.e_distance(x, y) == pytest.approx(2 * across.mean() - one.mean() - other.mean(), abs=1e-9)
    kernels = [np.exp(-np.square(d) / (2 * 0.7**2)).mean() for d in (across, one, other)]
    assert distribution.mmd_rbf(x, y, 0.7) == pytest.approx(kernels[1] + kernels[2] - 2 * kernels[0], abs=1e-9)
    assert distribution.bandwidth(x, y) == pytest.approx(np.median(pdist(np.concatenate([x, y]))), rel=1e-9)


def test_given_distances_within_truth_are_used():
    x, y = np.random.default_rng(0).normal(size=(2, 30, 4))
    within = distribution.distance_within(x)
    assert distribution.e_distance(x, y, within) == distribution.e_distance(x, y)
    assert distribution.e_distance(x, y, within + 1) == pytest.approx(distribution.e_distance(x, y) - 1)


def test_both_distances_at_once():
    x, y = np.random.default_rng(0).normal(size=(2, 30, 4))
    assert distribution.e_distance_and_mmd(x, y, 1.5) == (distribution.e_distance(x, y), mmd(x, y))


def test_distances_in_blocks(monkeypatch):
    x, y = np.random.default_rng(0).normal(size=(2, 50, 4))
    whole = distribution.e_distance(x, y), mmd(x, y), distribution.bandwidth(x, y)
    monkeypatch.setattr(distribution, "BLOCK", 7)
    parts = distribution.e_distance(x, y), mmd(x, y), distribution.bandwidth(x, y)
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


@few
@given(n=st.integers(1, 40), seed=st.integers(0, 1000), form=st.sampled_from([np.asarray, sp.csr_matrix]))
def test_wasserstein_equals_scipy(n, seed, form):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(2, n, 5)).round(1) * (generator.random((2, n, 5)) < 0.6)
    expected = np.mean([wasserstein_distance(x[:, gene], y[:, gene]) for gene in range(5)])
    assert wasserstein(form(x), form(y)) == pytest.approx(expected, abs=1e-12)


@every_distance
@few
@given(n=st.integers(2, 25), seed=st.integers(0, 1000))
def test_distances_ignore_order_of_cells_and_sides(distance, n, seed):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(2, n, 3))
    value = distance(x, y)
    assert distance(generator.permutation(x), generator.permutation(y)) == pytest.approx(value, abs=1e-9)
    assert distance(y, x) == pytest.approx(value, abs=1e-9)
    order = generator.permutation(3)
    assert distance(x[:, order], y[:, order]) == pytest.approx(value, abs=1e-9)


@every_distance
def test_distances_grow_with_shift(distance):
    x, y = np.random.default_rng(1).normal(size=(2, 80, 3))
    near, far = distance(x, y + 0.5), distance(x, y + 2.0)
    assert distance(x, y) < near < far


def test_distances_see_change_of_spread():
    x, y = np.random.default_rng(2).normal(size=(2, 300, 3))
    for distance in DISTANCES.values():
        assert distance(x, 3 * (y - y.mean(axis=0)) + x.mean(axis=0)) > 0.1


def test_bandwidth_is_symmetric_and_scales():
    x, y = np.random.default_rng(0).normal(size=(2, 20, 4))
    assert distribution.bandwidth(y, x) == pytest.approx(distribution.bandwidth(x, y))
    assert distribution.bandwidth(5 * x, 5 * y) == pytest.approx(5 * distribution.bandwidth(x, y))


def test_bandwidth_of_coinciding_cells():
    same = np.ones((10, 3))
    assert distribution.bandwidth(same, same) == 1.0
    one_off = np.vstack([same, [[4.0, 5.0, 1.0]]])
    assert distribution.bandwidth(same, one_off) == pytest.approx(5.0 * 20 / (21 * 20 / 2))
    assert distribution.mmd_rbf(same, same, 1.0) == pytest.approx(0.0)


def test_unequal_sizes_raise():
    with pytest.raises(ValueError, match="3 and 2 cells"):
        wasserstein(np.zeros((3, 1)), np.zeros((2, 1)))
