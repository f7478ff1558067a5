"""ComBat: values by hand, equality with inmoose, invariances and edge cases."""

from __future__ import annotations

from functools import reduce

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.dataset import load_dataset, present
from benchmarks.data.expression_space import to_space
from benchmarks.errors import DataError
from benchmarks.tasks.batch_correction import combat
from benchmarks.tasks.batch_correction.combat import Combat, Moments, digest_of, fit, moments_by_batch, shrink

IN_INMOOSE = ("ignore:the matrix subclass", "ignore:divide by zero")  # genes that do not vary in some batch
KANG_LAYOUT = "ignore::anndata._warnings.OldFormatWarning"


def cells_of(x: np.ndarray) -> ad.AnnData:
    """Cells with dense values, names c0, c1, …"""
    obs, var = (pd.DataFrame(index=[f"{kind}{i}" for i in range(n)]) for kind, n in zip("cg", x.shape, strict=True))
    return ad.AnnData(X=sp.csr_matrix(x), obs=obs, var=var)


def noisy(n_cells: int = 90, n_genes: int = 30, n_batches: int = 3, seed: int = 0) -> tuple[ad.AnnData, np.ndarray]:
    """Sparse log-like values in batches of different level and spread, and their batches."""
    generator = np.random.default_rng(seed)
    batch = np.arange(n_cells) % n_batches
    x = generator.exponential(1.0, (n_cells, n_genes)) * (1 + 0.4 * batch[:, None]) + 0.5 * batch[:, None]
    x *= generator.random((n_cells, n_genes)) < 0.7
    return cells_of(x), np.array([f"b{b}" for b in batch], dtype=object)


def in_blocks(cells: ad.AnnData, batches: np.ndarray, n: int, seed: int = 0):
    order = np.random.default_rng(seed).permutation(cells.n_obs)
    return [(cells[rows], batches[rows]) for rows in np.array_split(order, n)]


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_moments_by_hand():
    first = moments_by_batch(np.array([[1.0, 5.0], [3.0, 5.0], [0.0, 2.0]]), ["a", "a", "b"])
    second = moments_by_batch(np.array([[8.0, 5.0]]), ["a"])
    a, b = first["a"].joined(second["a"]), first["b"]
    assert (a.n, b.n) == (3, 1)
    np.testing.assert_array_equal(a.mean, [4.0, 5.0])
    np.testing.assert_array_equal(a.squares, [9 + 1 + 16, 0.0])
    np.testing.assert_array_equal(b.squares, [0.0, 0.0])
    assert digest_of(["c0", "c1", "c2", "c3"]) == digest_of(["c3", "c2", "c0", "c1"]) != digest_of(["c0", "c1", "c2"])


def test_squares_of_constant_gene_are_exactly_zero():
    blocks = [moments_by_batch(np.full((n, 1), np.float32(0.1)), ["a"] * n)["a"] for n in range(7, 12)]
    assert reduce(Moments.joined, blocks).squares[0] == 0.0


def test_one_round_of_shrinkage_by_hand(monkeypatch):
    monkeypatch.setattr(combat, "TOLERANCE", np.inf)
    # two genes, four cells: γ̂ = (1, 3), δ̂² = (1, 2); priors: mean 2, τ² 1; V 1.5, S² 0.25 → λ 11, θ 15
    found = Moments(4, np.array([1.0, 3.0]), np.array([4.0, 8.0]))
    shift, scale = shrink(found)
    np.testing.assert_allclose(shift, [(4 * 1 + 1 * 2) / (4 + 1), (4 * 3 + 2 * 2) / (4 + 2)])
    np.testing.assert_allclose(
        scale, [(0.5 * (4 + 4 * 0.2**2) + 15) / (2 + 10), (0.5 * (8 + 4 * (1 / 3) ** 2) + 15) / (2 + 10)]
    )
    monkeypatch.setattr(combat, "TOLERANCE", 1e-6)
    monkeypatch.setattr(combat, "MOST_ROUNDS", 1)
    with pytest.raises(DataError, match="1 rounds"):
        shrink(found)


def test_single_gene_gets_mean_and_variance_of_reference():
    """With one gene the priors have no width, so the estimates are the batch's own mean and variance."""
    x = np.array([[1.0], [3.0], [10.0], [14.0], [18.0]])
    parameters = fit([(cells_of(x), ["r", "r", "b", "b", "b"])], "r")
    corrected = parameters.apply(x, ["r", "r", "b", "b", "b"])
    np.testing.assert_allclose(corrected.ravel(), [1, 3, 2 - 1.5**0.5, 2, 2 + 1.5**0.5])


# --- against inmoose -------------------------------------------------------------------------------------------------


def assert_equals_inmoose(cells: ad.AnnData, batches: np.ndarray, reference: str) -> None:
    """Compare the streamed correction with inmoose's in memory, without genes that inmoose cannot standardise."""
    pycombat = pytest.importorskip("inmoose.pycombat").pycombat_norm
    varies = cells.X[np.flatnonzero(batches == reference)].toarray().std(axis=0) > 0
    cells = cells[:, varies].copy()
    theirs = pycombat(cells.X.toarray().T, list(batches), ref_batch=reference).T
    ours = fit(in_blocks(cells, batches, 7), reference).apply(cells.X, batches)
    assert np.abs(theirs - cells.X.toarray()).max() > 0.1
    assert np.abs(ours - theirs).max() < 1e-9


@pytest.mark.filterwarnings(*IN_INMOOSE)
@pytest.mark.parametrize("reference", ["b0", "b2"])
def test_streamed_estimates_equal_inmoose(reference):
    assert_equals_inmoose(*noisy(), reference)


@pytest.mark.filterwarnings(*IN_INMOOSE, KANG_LAYOUT)
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("perturbench_devel", ("context",)),
        ("perturbench_devel", ("context", "perturbation")),
        ("perturbench_devel", ("batch",)),
        ("kang", ("context",)),
        ("kang", ("context", "perturbation")),
    ],
)
def test_streamed_estimates_equal_inmoose_on_real_cells(name, labels):
    if not present(name):
        pytest.skip(f"{name} is not on this machine (CYCSEQ_DATA)")
    dataset = load_dataset(name)
    cells, _ = to_space(dataset.cells, dataset.card.space)
    cells = cells[:, np.arange(0, cells.n_vars, max(1, cells.n_vars // 1500))].copy()
    cells.X = cells.X.astype(np.float64)
    batches = cells.obs[list(labels)].agg("|".join, axis=1)
    assert_equals_inmoose(cells, batches.to_numpy(), batches.value_counts().index[0])


# --- what must hold --------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), step=st.floats(-5, 5))
def test_shift_of_batch_is_removed(seed, step):
    """A shift by the same number of standard deviations in all genes moves the prior along, so it is removed exactly."""
    cells, batches = noisy(seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(combat, "TOLERANCE", 1e-13)
        plain = fit([(cells, batches)], "b0")
        moved = cells.copy()
        moved.X = sp.csr_matrix(cells.X.toarray() + np.outer(batches == "b1", step * np.sqrt(plain.variance)))
        corrected = fit([(moved, batches)], "b0").apply(moved.X, batches)
    np.testing.assert_allclose(corrected, plain.apply(cells.X, batches), atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_reference_batch_does_not_change(seed):
    cells, batches = noisy(seed=seed)
    corrected = fit([(cells, batches)], "b1").apply(cells.X, batches)
    same = batches == "b1"
    np.testing.assert_array_equal(corrected[same], cells.X.toarray()[same])
    assert not np.isclose(corrected[~same], cells.X.toarray()[~same]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 30))
def test_blocks_and_order_of_cells_do_not_matter(seed, n):
    cells, batches = noisy(seed=seed)
    whole, streamed = fit([(cells, batches)], "b0"), fit(in_blocks(cells, batches, n, seed), "b0")
    np.testing.assert_allclose(streamed.shift, whole.shift, atol=1e-10)
    np.testing.assert_allclose(streamed.scale, whole.scale, atol=1e-10)
    assert streamed.cells_digest == whole.cells_digest


def test_save_and_load(tmp_path):
    cells, batches = noisy()
    parameters = fit([(cells, batches)], "b0")
    parameters.save(tmp_path / "p.npz")
    again = Combat.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(again.apply(cells.X, batches), parameters.apply(cells.X, batches))
    assert (again.reference, again.cells_digest, again.untouched) == ("b0", parameters.cells_digest, ())
    (tmp_path / "half.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:300])
    with pytest.raises(DataError, match=r"half.npz"):
        Combat.load(tmp_path / "half.npz")


# --- edges -----------------------------------------------------------------------------------------------------------


def test_batch_of_one_cell_is_shifted_and_not_scaled():
    cells, batches = noisy()
    batches[0] = "single"
    parameters = fit([(cells, batches)], "b1")
    place = parameters.batches.index("single")
    np.testing.assert_array_equal(parameters.scale[place], 1.0)
    before = np.abs(cells.X[0].toarray().ravel() - parameters.mean).sum()
    corrected = parameters.apply(cells.X[:1], ["single"])
    assert np.isfinite(corrected).all()
    assert np.abs(corrected - parameters.mean).sum() < before


def test_constant_genes_stay_finite():
    cells, batches = noisy()
    x = cells.X.toarray()
    x[batches == "b1", 0] = 2.0
    x[:, 1] = 0.0
    x[batches == "b0", 2] = 3.0
    parameters = fit([(cells_of(x), batches)], "b0")
    corrected = parameters.apply(x, batches)
    assert np.isfinite(corrected).all()
    assert np.ptp(corrected[batches == "b1", 0]) == 0
    assert parameters.untouched == ("g1", "g2")
    np.testing.assert_array_equal(corrected[:, 1:3], x[:, 1:3])


def test_batch_of_identical_cells_is_shifted_and_not_scaled():
    cells, batches = noisy()
    x = cells.X.toarray()
    x[batches == "b2"] = x[2]
    parameters = fit([(cells_of(x), batches)], "b0")
    np.testing.assert_array_equal(parameters.scale[2], 1.0)
    assert np.isfinite(parameters.apply(x, batches)).all()


def test_apply_raises_for_unknown_batch():
    cells, batches = noisy()
    parameters = fit([(cells, batches)], "b0")
    with pytest.raises(DataError, match="new"):
        parameters.apply(cells.X[:2], ["b1", "new"])


def test_single_precision_is_kept():
    cells, batches = noisy()
    parameters = fit([(cells, batches)], "b0")
    single = parameters.apply(cells.X.astype(np.float32), batches)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, parameters.apply(cells.X, batches), rtol=1e-5, atol=1e-5)
