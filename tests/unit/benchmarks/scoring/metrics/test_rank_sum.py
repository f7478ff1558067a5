"""The rank-sum test and the sorting below it, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from benchmarks.scoring.metrics.rank_sum import (
    LoosePool,
    Pool,
    SortedCells,
    make_pool,
    place_cells,
    rank_sum,
    sort_cells,
)

FORMS = {
    "dense": np.asarray,
    "columns first": np.asfortranarray,
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "csr array": sp.csr_array,
}


def draw(n_cells: int, n_genes: int, seed: int, kind: str) -> np.ndarray:
    """Cells with zeros: "counts" has many ties, "log" few, "zscore" negative values too."""
    generator = np.random.default_rng(seed)
    counts = generator.poisson(generator.gamma(1.0, 2.0, n_genes), (n_cells, n_genes)).astype(np.float64)
    if kind == "counts":
        return counts
    if kind == "log":
        return np.log2(1 + counts / generator.uniform(0.5, 2, (n_cells, 1)))
    return np.where(generator.random(counts.shape) < 0.2, 0.0, np.round(counts - 2, 1))


def unpack(cells: SortedCells) -> np.ndarray:
    """Put the zeros back: every gene's values in ascending order."""
    columns = []
    for gene in range(len(cells.negatives)):
        values = cells.values[cells.starts[gene] : cells.starts[gene + 1]]
        zeros = np.zeros(cells.n_cells - len(values))
        negatives = cells.negatives[gene]
        columns.append(np.concatenate([values[:negatives], zeros, values[negatives:]]))
    return np.stack(columns, axis=1)


def expected(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    constant = (np.ptp(np.concatenate([a, b]), axis=0)) == 0
    p = np.ones(a.shape[1])
    if not constant.all():
        p[~constant] = mannwhitneyu(a[:, ~constant], b[:, ~constant], method="asymptotic").pvalue
    return p


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30),
    m=st.integers(1, 300),
    genes=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["counts", "log", "zscore"]),
)
def test_p_values_equal_scipy(n, m, genes, seed, kind):
    a, b = draw(n, genes, seed, kind), draw(m, genes, seed + 1, kind)
    a[:, 0] = np.round(a[:, 0] + seed % 3)
    p = rank_sum(sort_cells(a), sort_cells(b))
    np.testing.assert_allclose(p, expected(a, b), rtol=1e-12)
    np.testing.assert_array_equal(rank_sum(sort_cells(b), sort_cells(a)), p)  # two-sided, so symmetric


@pytest.mark.parametrize(("n", "m"), [(100, 100), (100, 5000), (3000, 2500)])
def test_p_values_equal_scipy_at_real_sizes(n, m):
    a, b = draw(n, 8, 0, "log").astype(np.float32), draw(m, 8, 1, "log").astype(np.float32)
    a[:, 0], b[:, 0] = 1.0, 0.0  # p as small as it gets
    a[:, 1], b[:, 1] = 0.0, 0.0
    p = rank_sum(sort_cells(sp.csr_matrix(a)), sort_cells(b))
    np.testing.assert_allclose(p, expected(a.astype(np.float64), b.astype(np.float64)), rtol=1e-12)
    assert p[1] == 1.0


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 200),
    genes=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["counts", "log", "zscore"]),
    form=st.sampled_from(sorted(FORMS)),
    types=st.sampled_from([(np.float32, np.float32), (np.float64, np.float32), (np.float32, np.float64)]),
)
def test_sets_of_a_pool_are_as_if_sorted_and_tested_by_themselves(n, m, genes, seed, kind, form, types):
    a, b = (draw(k, genes, seed + i, kind).astype(types[i]) for i, k in enumerate((n, m)))
    reference, before = sort_cells(b), a.copy()
    pool = place_cells(FORMS[form](a), reference)
    rows = np.random.default_rng(seed).permutation(n)[: 1 + seed % n]
    alone, picked = sort_cells(a[rows]), pool.pick(rows)
    for field, value in alone._asdict().items():
        np.testing.assert_array_equal(getattr(picked, field), value)
    np.testing.assert_array_equal(pool.rank_sum(rows), rank_sum(alone, reference))
    np.testing.assert_array_equal(a, before)


def test_a_pool_of_more_rows_than_a_key_holds():
    a = draw(70_000, 2, 3, "counts").astype(np.float32)
    reference, rows = sort_cells(draw(50, 2, 4, "counts").astype(np.float32)), np.arange(69_000, 70_000)
    np.testing.assert_array_equal(place_cells(a, reference).rank_sum(rows), rank_sum(sort_cells(a[rows]), reference))


@pytest.mark.parametrize(("n_reference", "kind"), [(39, LoosePool), (40, Pool)])
def test_sets_are_the_same_whether_their_pool_is_placed_in_the_reference_or_not(n_reference, kind):
    a, rows = draw(20, 5, 0, "log"), np.array([3, 0, 19])
    pool = make_pool(sp.csr_matrix(a), sort_cells(draw(n_reference, 5, 1, "log")))
    assert isinstance(pool, kind)
    for found, alone in zip(pool.pick(rows), sort_cells(a[rows]), strict=True):
        np.testing.assert_array_equal(found, alone)


def test_tie_terms_do_not_overflow():
    a, b = np.zeros((3000, 1)), np.zeros((3000, 1))
    a[:10], b[:40] = 1.0, 1.0  # 5,950³ is beyond int32, and the tie decides the variance
    np.testing.assert_allclose(rank_sum(sort_cells(a), sort_cells(b)), expected(a, b), rtol=1e-12)


def test_constant_or_single_cells_have_p_one():
    ones, zeros = np.ones((5, 2)), np.zeros((7, 2))
    np.testing.assert_array_equal(rank_sum(sort_cells(zeros), sort_cells(np.zeros((3, 2)))), 1.0)
    np.testing.assert_array_equal(rank_sum(sort_cells(ones), sort_cells(np.ones((3, 2)))), 1.0)
    np.testing.assert_array_equal(rank_sum(sort_cells(ones[:1]), sort_cells(zeros[:1])), 1.0)


def test_float32_is_compared_exactly():
    a = np.array([[0.1], [0.2], [0.3]])
    narrow, wide = sort_cells(a.astype(np.float32)), sort_cells(a)
    assert narrow.values.dtype == np.float32
    assert wide.values.dtype == np.float64
    np.testing.assert_allclose(rank_sum(narrow, wide), expected(a.astype(np.float32).astype(np.float64), a), rtol=1e-12)


@pytest.mark.parametrize("block", [50, 1 << 20])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("kind", ["counts", "zscore"])
def test_sorting_keeps_every_value(monkeypatch, form, kind, block):
    monkeypatch.setattr("benchmarks.scoring.metrics.rank_sum.BLOCK", block)  # the larger holds everything
    cells = draw(37, 53, 5, kind)
    cells[:, 7] = 0.0
    given_cells = form(cells.copy())
    found = sort_cells(given_cells)
    np.testing.assert_array_equal(unpack(found), np.sort(cells, axis=0))
    np.testing.assert_array_equal(np.asarray(sp.csr_matrix(given_cells).todense()), cells)  # the input is as it was
    for gene in range(53):
        sizes = np.unique(cells[:, gene], return_counts=True)[1].astype(float)
        assert found.ties[gene] == (sizes**3 - sizes).sum()


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_stored_zeros_and_duplicates(monkeypatch, block):
    monkeypatch.setattr("benchmarks.scoring.metrics.rank_sum.BLOCK", block)
    stored_zero = sp.csc_matrix((np.array([0.0, 2.0, -1.0]), np.array([0, 1, 2]), np.array([0, 3])), shape=(4, 1))
    found = sort_cells(stored_zero)
    np.testing.assert_array_equal(found.values, [-1.0, 2.0])
    assert stored_zero.nnz == 3
    twice = sp.csr_matrix((np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 2, 2])), shape=(2, 1))
    np.testing.assert_array_equal(sort_cells(twice).values, [3.0])
    assert sort_cells(np.array([[3], [1]])).values.tolist() == [1.0, 3.0]


@given(seed=st.integers(0, 1000))
def test_cell_order_does_not_matter(seed):
    cells = draw(25, 4, seed, "log")
    shuffled = np.random.default_rng(seed).permutation(cells)
    np.testing.assert_array_equal(sort_cells(sp.csr_matrix(shuffled)).values, sort_cells(cells).values)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_raise(form, bad):
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        sort_cells(form(np.array([[1.0, 2.0], [bad, 3.0]])))


def test_different_genes_raise():
    with pytest.raises(ValueError, match="3 and 2 genes"):
        rank_sum(sort_cells(np.zeros((2, 3))), sort_cells(np.zeros((2, 2))))


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_rounding_of_zeros_is_not_ranked(form):
    """A model that adds and subtracts leaves 1e-8 where a zero was: it must not lie above all zeros of the reference."""
    generator = np.random.default_rng(0)
    cells, reference = (generator.poisson(0.4, (60, 40)).astype(np.float32) for _ in range(2))
    rounded = np.where(cells == 0, np.float32(1e-8), cells)
    exact = rank_sum(sort_cells(cells), sort_cells(reference))
    np.testing.assert_array_equal(rank_sum(sort_cells(form(rounded)), sort_cells(form(reference))), exact)
    assert np.median(exact) > 0.05
