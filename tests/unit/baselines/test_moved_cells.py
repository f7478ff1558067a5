"""Cells moved by a change: the mean asked for, no value below 0, zeros that stay, and what real counts do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.shared.moved_cells import moved_cells


def dense(cells: Any) -> np.ndarray:
    """Return cells [cell, gene], sparse or not, as an array."""
    return cells.toarray() if sp.issparse(cells) else cells


def draw(n: int, genes: int, seed: int, rate: float = 0.7) -> np.ndarray:
    """Draw log2(count + 1) of cells [cell, gene]; the first gene is in no cell, the second in all."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.7, rate, size=genes), size=(n, genes))
    counts[:, 0] = 0
    counts[:, min(1, genes - 1)] += genes > 1
    return np.log2(counts + 1.0)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 40),
    genes=st.integers(1, 300),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1e-9, 1e-3, 0.3, 3.0, 30.0]),
    own=st.booleans(),
)
def test_mean_is_kept_and_nothing_is_below_zero(n: int, genes: int, seed: int, size: float, own: bool) -> None:
    x, rng = draw(n, genes, seed), np.random.default_rng(seed)
    change = rng.normal(0, size, size=(n, genes) if own else genes)
    moved = dense(moved_cells(sp.csr_matrix(x), change))
    assert np.isfinite(moved).all()
    assert moved.min() >= 0
    target = np.maximum((x + change).mean(axis=0), 0)
    np.testing.assert_allclose(moved.mean(axis=0), target, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(moved, dense(moved_cells(x, change)))


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_a_gene_that_falls_appears_in_no_cell_and_one_that_rises_leaves_none(n: int, seed: int) -> None:
    x = draw(n, 30, seed)
    change = np.random.default_rng(seed).normal(0, 0.5, size=30)
    moved = dense(moved_cells(x, change))
    lower = change < 0
    assert not (moved[:, lower] > 0)[x[:, lower] == 0].any()
    assert (moved[:, ~lower] > 0)[x[:, ~lower] > 0].all()


def test_a_gene_that_does_not_change_keeps_its_values() -> None:
    x, change = draw(20, 10, 0), np.zeros(10)
    change[3] = 0.4
    moved = dense(moved_cells(x, change))
    others = np.arange(10) != 3
    np.testing.assert_array_equal(moved[:, others], x[:, others])
    assert (moved[:, 3] != x[:, 3]).any()


def test_cells_with_values_below_zero_are_added_to() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))
    np.testing.assert_array_equal(moved_cells(x, np.full(4, -2.0)), x - 2.0)


def test_a_gene_in_no_cell_rises_in_as_many_as_its_mean_needs() -> None:
    x = np.zeros((40, 2))
    x[:, 1] = np.log2(3.0)
    x[::2, 1] = 1.0  # the least value of every other cell is that of one count
    moved = dense(moved_cells(x, np.array([0.3, 0.0])))[:, 0]
    assert 6 <= (moved > 0).sum() <= 12  # 40 · 0.3 / 1.29 = 9.3
    assert moved[moved > 0] == pytest.approx(1.3, abs=0.5)


@pytest.mark.parametrize("factor", [0.3, 0.7, 1.5, 3.0])
def test_shares_of_zeros_are_those_of_real_counts(factor: float) -> None:
    """Counts at another rate are known here: the moved cells have their share of zeros and their fold change."""
    rng, n = np.random.default_rng(1), 2000
    rate = np.array([0.05, 0.3, 1.0, 3.0])
    x, other = (np.log2(rng.poisson(k * rate, size=(n, 4)) + 1.0) for k in (1.0, factor))
    moved = dense(moved_cells(x, other.mean(axis=0) - x.mean(axis=0)))
    assert (moved == 0).mean(axis=0) == pytest.approx((other == 0).mean(axis=0), abs=0.03)
    linear, expected = ((np.exp2(cells) - 1).mean(axis=0) for cells in (moved, other))
    assert linear == pytest.approx(expected, rel=0.1)
