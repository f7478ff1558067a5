"""The hierarchical bootstrap: exact where it can be, calibrated where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from reports.stats.bootstrap import context_sizes, draw_means, draw_weights, mean_weights, summarise


def test_every_draw_is_a_mean() -> None:
    weights = draw_weights((1, 4, 2), 500, 0)
    assert weights.shape == (500, 7)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    np.testing.assert_allclose(weights.mean(axis=0), mean_weights((1, 4, 2)), atol=0.03)


def test_contexts_are_drawn_before_conditions() -> None:
    # conditions alike within contexts: all that varies is which contexts are drawn, here the mean of two coin flips
    draws = draw_weights((50, 50), 4000, 1) @ np.repeat([0.0, 1.0], 50)
    values, counts = np.unique(draws.round(12), return_counts=True)
    np.testing.assert_allclose(values, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.03)


def test_one_context_gives_the_plain_bootstrap() -> None:
    values = np.random.default_rng(0).normal(size=80)
    _, low, high = summarise(values, (80,), n_boot=4000, seed=0)
    half = 1.96 * values.std() / np.sqrt(80)
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_the_interval_covers_the_mean_it_was_drawn_from() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        contexts = rng.normal(0.3, 0.1, 12)
        values = np.concatenate([rng.normal(centre, 0.1, 8) for centre in contexts])
        _, low, high = summarise(values, (8,) * 12, n_boot=400, seed=0)
        covered += low <= 0.3 <= high
    assert 0.86 <= covered / 200 <= 0.99


def test_seeds_decide_the_draws() -> None:
    values = np.arange(6.0)
    assert summarise(values, (3, 3), n_boot=100, seed=1) == summarise(values, (3, 3), n_boot=100, seed=1)
    assert summarise(values, (3, 3), n_boot=100, seed=1) != summarise(values, (3, 3), n_boot=100, seed=2)


def test_a_single_condition_has_no_interval() -> None:
    mean, low, high = summarise(np.array([0.4]), (1,), n_boot=10, seed=0)
    assert mean == 0.4
    assert np.isnan([low, high]).all()


def test_columns_share_their_draws_and_equal_columns_their_means() -> None:
    values = np.random.default_rng(2).normal(0, 1, (37, 9))
    values[:, 8] = values[:, 0]
    means, draws = draw_means(values, (20, 17), n_boot=50, seed=0)
    assert means[8] == means[0]
    np.testing.assert_allclose(means, mean_weights((20, 17)) @ values)
    gains, _ = draw_means(values[:, :4] - values[:, 4:8], (20, 17), n_boot=50, seed=0)
    np.testing.assert_allclose(gains, means[:4] - means[4:8], atol=1e-12)
    _, paired = draw_means(values[:, :4] - values[:, 4:8], (20, 17), n_boot=50, seed=0)
    np.testing.assert_allclose(paired, draws[:, :4] - draws[:, 4:8], atol=1e-12)


def test_sizes_of_contexts_side_by_side() -> None:
    assert context_sizes(np.array(["A", "A", "B", "C", "C", "C"], dtype=object)) == (2, 1, 3)
    assert context_sizes(np.array([], dtype=object)) == ()
