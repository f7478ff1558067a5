"""ComBat: by hand, against inmoose, and what must hold whatever the data."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.dataset import load_dataset, present
from benchmarks.data.expression_space import to_space
from benchmarks.errors import DataError, UnknownName
from benchmarks.tasks.batch_correction import combat
from benchmarks.tasks.batch_correction.combat import fit, shrink
from benchmarks.tasks.batch_correction.moments import GroupMoments, Moments, digest_of
from benchmarks.tasks.batch_correction.parameters import Combat

TIGHT = 1e-13
IN_INMOOSE = ("ignore:the matrix subclass", "ignore:divide by zero")  # genes that do not vary in some batch
KANG_LAYOUT = "ignore::anndata._warnings.OldFormatWarning"


def cells_of(x: np.ndarray, **obs: list[str]) -> ad.AnnData:
    """Cells with dense values, names c0, c1, …"""
    names = [f"c{i}" for i in range(len(x))]
    var = pd.DataFrame(index=[f"g{i}" for i in range(x.shape[1])])
    return ad.AnnData(X=sp.csr_matrix(x), obs=pd.DataFrame(obs, index=names), var=var)


def noisy(n_cells: int = 90, n_genes: int = 30, n_batches: int = 3, seed: int = 0) -> tuple[ad.AnnData, np.ndarray]:
    """Sparse log-like values in batches of different level and spread, and their batches."""
    generator = np.random.default_rng(seed)
    batch = np.arange(n_cells) % n_batches
    x = generator.exponential(1.0, (n_cells, n_genes)) * (1 + 0.4 * batch[:, None]) + 0.5 * batch[:, None]
    x *= generator.random((n_cells, n_genes)) < 0.7
    line = [f"line{i % 2}" for i in generator.permutation(n_cells)]
    return cells_of(x, line=line), np.array([f"b{b}" for b in batch], dtype=object)


def in_blocks(cells: ad.AnnData, batches: np.ndarray, n: int, seed: int = 0):
    order = np.random.default_rng(seed).permutation(cells.n_obs)
    return [(cells[rows], batches[rows]) for rows in np.array_split(order, n)]


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_moments_by_hand():
    moments = GroupMoments(["g0", "g1"])
    moments.add(np.array([[1.0, 5.0], [3.0, 5.0], [0.0, 2.0]]), [("a",), ("a",), ("b",)], ["c0", "c1", "c2"])
    moments.add(np.array([[8.0, 5.0]]), [("a",)], ["c3"])
    a, b = moments.groups["a",], moments.groups["b",]
    assert (a.n, b.n) == (3, 1)
    np.testing.assert_array_equal(a.mean, [4.0, 5.0])
    np.testing.assert_array_equal(a.squares, [9 + 1 + 16, 0.0])
    np.testing.assert_array_equal(b.squares, [0.0, 0.0])
    assert moments.cells_digest == digest_of(["c3", "c2", "c0", "c1"]) != digest_of(["c0", "c1", "c2"])


def test_a_gene_without_variation_has_no_spread_to_the_last_bit():
    moments = GroupMoments(["g"])
    for block in range(5):
        moments.add(np.full((7 + block, 1), np.float32(0.1)), [("a",)] * (7 + block), [])
    assert moments.groups["a",].squares[0] == 0.0


def test_one_round_of_shrinkage_by_hand(monkeypatch):
    # two genes, four cells: γ̂ = (1, 3), δ̂² = (1, 2); priors: mean 2, τ² 1; V 1.5, S² 0.25 → λ 11, θ 15
    found = Moments(4, np.array([1.0, 3.0]), np.array([4.0, 8.0]))
    shift, scale = shrink(found, tolerance=np.inf)
    np.testing.assert_allclose(shift, [(4 * 1 + 1 * 2) / (4 + 1), (4 * 3 + 2 * 2) / (4 + 2)])
    np.testing.assert_allclose(
        scale, [(0.5 * (4 + 4 * 0.2**2) + 15) / (2 + 10), (0.5 * (8 + 4 * (1 / 3) ** 2) + 15) / (2 + 10)]
    )
    monkeypatch.setattr(combat, "MOST_ROUNDS", 1)
    with pytest.raises(DataError, match="have not settled after 1 rounds"):
        shrink(found, tolerance=1e-6)


def test_one_gene_is_brought_to_the_mean_and_the_spread_of_the_reference():
    """With one gene the priors have no width: the batch's own mean and variance are the estimates."""
    x = np.array([[1.0], [3.0], [10.0], [14.0], [18.0]])
    parameters = fit([(cells_of(x), ["r", "r", "b", "b", "b"])], "r")
    corrected = parameters.apply(x, ["r", "r", "b", "b", "b"])
    np.testing.assert_allclose(corrected.ravel(), [1, 3, 2 - 1.5**0.5, 2, 2 + 1.5**0.5])


# --- against inmoose -------------------------------------------------------------------------------------------------


def assert_equals_inmoose(cells: ad.AnnData, batches: np.ndarray, reference: str, covariates: tuple[str, ...]) -> None:
    """Hold our streamed correction against inmoose's in memory; genes it cannot standardise are left out of both."""
    pycombat = pytest.importorskip("inmoose.pycombat").pycombat_norm
    varies = cells.X[np.flatnonzero(batches == reference)].toarray().std(axis=0) > 0
    cells = cells[:, varies].copy()
    columns = pd.DataFrame({c: cells.obs[c].to_numpy() for c in covariates}) if covariates else None
    theirs = pycombat(cells.X.toarray().T, list(batches), covar_mod=columns, ref_batch=reference).T
    parameters = fit(in_blocks(cells, batches, 7), reference, covariates=covariates)
    ours = parameters.apply(cells.X, batches, cells.obs)
    assert np.abs(theirs - cells.X.toarray()).max() > 0.1
    assert np.abs(ours - theirs).max() < 1e-9


@pytest.mark.filterwarnings(*IN_INMOOSE)
@pytest.mark.parametrize("covariates", [(), ("line",)])
@pytest.mark.parametrize("reference", ["b0", "b2"])
def test_streamed_estimates_equal_inmoose(reference, covariates):
    assert_equals_inmoose(*noisy(), reference, covariates)


@pytest.mark.filterwarnings(*IN_INMOOSE, KANG_LAYOUT)
@pytest.mark.parametrize(
    ("name", "labels", "covariates"),
    [
        ("perturbench_devel", ("context",), ()),
        ("perturbench_devel", ("context", "perturbation"), ()),
        ("perturbench_devel", ("batch",), ("perturbation",)),
        ("kang", ("context",), ("perturbation",)),
        ("kang", ("context", "perturbation"), ()),
    ],
)
def test_streamed_estimates_equal_inmoose_on_real_cells(name, labels, covariates):
    if not present(name):
        pytest.skip(f"{name} is not on this machine (CYCSEQ_DATA)")
    dataset = load_dataset(name)
    cells, _ = to_space(dataset.cells, dataset.card.space)
    cells = cells[:, np.arange(0, cells.n_vars, max(1, cells.n_vars // 1500))].copy()
    cells.X = cells.X.astype(np.float64)
    batches = cells.obs[list(labels)].agg("|".join, axis=1)
    assert_equals_inmoose(cells, batches.to_numpy(), batches.value_counts().index[0], covariates)


# --- what must hold --------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), step=st.floats(-5, 5))
def test_a_constant_added_to_a_batch_is_undone(seed, step):
    """Exactly so where the constant is one number in units of the reference's spread: priors move along with it."""
    cells, batches = noisy(seed=seed)
    plain = fit([(cells, batches)], "b0", tolerance=TIGHT)
    moved = cells.copy()
    moved.X = sp.csr_matrix(cells.X.toarray() + np.outer(batches == "b1", step * np.sqrt(plain.variance)))
    corrected = fit([(moved, batches)], "b0", tolerance=TIGHT).apply(moved.X, batches)
    np.testing.assert_allclose(corrected, plain.apply(cells.X, batches), atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), covariates=st.sampled_from([(), ("line",)]))
def test_the_reference_comes_out_as_it_went_in(seed, covariates):
    cells, batches = noisy(seed=seed)
    corrected = fit([(cells, batches)], "b1", covariates=covariates).apply(cells.X, batches, cells.obs)
    same = batches == "b1"
    np.testing.assert_array_equal(corrected[same], cells.X.toarray()[same])
    assert not np.isclose(corrected[~same], cells.X.toarray()[~same]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 30))
def test_blocks_and_their_order_do_not_matter(seed, n):
    cells, batches = noisy(seed=seed)
    whole, streamed = fit([(cells, batches)], "b0"), fit(in_blocks(cells, batches, n, seed), "b0")
    np.testing.assert_allclose(streamed.shift, whole.shift, atol=1e-10)
    np.testing.assert_allclose(streamed.scale, whole.scale, atol=1e-10)
    assert streamed.cells_digest == whole.cells_digest


def test_parameters_come_back_from_disk(tmp_path):
    cells, batches = noisy()
    parameters = fit([(cells, batches)], "b0", covariates=("line",))
    parameters.save(tmp_path / "p.npz")
    again = Combat.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(
        again.apply(cells.X, batches, cells.obs), parameters.apply(cells.X, batches, cells.obs)
    )
    assert (again.design, again.cells_digest, again.untouched) == (parameters.design, parameters.cells_digest, ())
    (tmp_path / "half.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:300])
    with pytest.raises(DataError, match=r"half.npz holds no ComBat parameters .*fit them anew"):
        Combat.load(tmp_path / "half.npz")


# --- edges -----------------------------------------------------------------------------------------------------------


def test_a_batch_of_one_cell_is_shifted_and_not_scaled():
    cells, batches = noisy()
    batches[0] = "single"
    parameters = fit([(cells, batches)], "b1")
    place = parameters.batches.index("single")
    assert parameters.n_cells[place] == 1
    np.testing.assert_array_equal(parameters.scale[place], 1.0)
    before = np.abs(cells.X[0].toarray().ravel() - parameters.mean).sum()
    corrected = parameters.apply(cells.X[:1], ["single"])
    assert np.isfinite(corrected).all()
    assert np.abs(corrected - parameters.mean).sum() < before


def test_a_gene_constant_in_a_batch_or_zero_everywhere_stays_finite():
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


def test_a_batch_of_identical_cells_is_shifted():
    cells, batches = noisy()
    x = cells.X.toarray()
    x[batches == "b2"] = x[2]
    parameters = fit([(cells_of(x), batches)], "b0")
    np.testing.assert_array_equal(parameters.scale[2], 1.0)
    assert np.isfinite(parameters.apply(x, batches)).all()


def test_a_batch_without_training_cells_cannot_be_corrected():
    cells, batches = noisy()
    parameters = fit([(cells, batches)], "b0")
    with pytest.raises(DataError, match="Batch 'new' has no training or control cell"):
        parameters.apply(cells.X[:2], ["b1", "new"])


def test_a_covariate_that_follows_the_batches_is_refused():
    cells, batches = noisy()
    cells.obs["line"] = [f"only in {b}" for b in batches]
    with pytest.raises(DataError, match="cannot all be told from the batches"):
        fit([(cells, batches)], "b0", covariates=("line",))


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda cells, batches: ([(cells, batches)], "b9"), "Unknown reference batch 'b9'"),
        (lambda cells, batches: ([], "b0"), "no cells to estimate"),
        (lambda cells, batches: ([(cells, batches), (cells[:, :5].copy(), batches)], "b0"), "different genes"),
        (lambda cells, batches: ([(cells, batches), (cells[:, ::-1].copy(), batches)], "b0"), "different genes"),
        (lambda cells, batches: ([(cells_of(np.full((2, 2), np.nan)), ["a", "a"])], "a"), "NaN or infinite"),
    ],
)
def test_bad_input_is_named(spoil, match):
    blocks, reference = spoil(*noisy())
    with pytest.raises((DataError, UnknownName), match=match):
        fit(blocks, reference)


def test_unknown_levels_and_missing_covariates_are_named():
    cells, batches = noisy()
    parameters = fit([(cells, batches)], "b0", covariates=("line",))
    with pytest.raises(DataError, match="give it for these cells too"):
        parameters.apply(cells.X, batches)
    with pytest.raises(DataError, match="has the level 'new'"):
        parameters.apply(cells.X, batches, cells.obs.assign(line="new"))
    with pytest.raises(DataError, match="one label a cell and the 30 genes"):
        parameters.apply(cells.X[:, :4], batches, cells.obs)


def test_cells_in_single_precision_stay_so(tmp_path: Path):
    cells, batches = noisy()
    parameters = fit([(cells, batches)], "b0")
    single = parameters.apply(cells.X.astype(np.float32), batches)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, parameters.apply(cells.X, batches), rtol=1e-5, atol=1e-5)
