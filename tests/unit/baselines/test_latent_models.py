"""scVI, biolord and CellOT: unsupported inputs, and the parts that are not from their packages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from baselines import biolord, cellot, scvi
from baselines.shared.states import contexts_with_both, labels_of, start_and_end
from benchmarks.conformance.checks import Screen
from benchmarks.errors import ContractError, Unsupported


@pytest.mark.parametrize(
    ("build", "setting", "value"),
    [
        (scvi.ScVI, "epochs", 0),
        (biolord.Biolord, "batch_size", 1),
        (biolord.Biolord, "answer", "guessed"),
        (cellot.CellOT, "components", 0),
    ],
)
def test_impossible_settings_are_refused(build, setting, value) -> None:
    with pytest.raises(ContractError, match=setting):
        build(**{setting: value})


def test_scvi_unsupported_cells(screen: Screen) -> None:
    with pytest.raises(Unsupported, match="z-scores have none"):
        scvi.ScVI().fit(replace(screen.train, space="zscore"), seed=0)
    cells = screen.train.cells.copy()
    cells.X = sp.csr_matrix(cells.X.multiply((np.arange(cells.n_obs) > 1)[:, None]))
    with pytest.raises(Unsupported, match="2 of"):
        scvi.ScVI().fit(replace(screen.train, cells=cells), seed=0)


def test_biolord_unsupported_queries(screen: Screen) -> None:
    with pytest.raises(Unsupported, match="cannot encode input cells"):
        biolord.Biolord().predict(screen.queries("p2n")[0])
    perturbed = screen.train.cells[~screen.train.cells.obs["is_control"].to_numpy()].copy()
    with pytest.raises(Unsupported, match="there are none"):
        biolord.Biolord().fit(replace(screen.train, cells=perturbed), seed=0)


def test_states_with_doses(screen: Screen) -> None:
    query = screen.queries("n2p")[0]
    assert start_and_end(query) == ("control", query.perturbation)
    assert start_and_end(screen.queries("p2n")[0])[1] == "control"
    treated = query.cells.copy()
    treated.obs["perturbation"], treated.obs["dose"] = query.perturbation, 10.0
    assert set(labels_of(treated.obs)["state"]) == {f"{query.perturbation} at 10.0 nM"}
    higher = replace(query, cells=treated, dose=100.0)
    assert start_and_end(higher) == (f"{query.perturbation} at 10.0 nM", f"{query.perturbation} at 100.0 nM")
    with pytest.raises(Unsupported, match="input and target are both"):
        start_and_end(replace(higher, dose=10.0))


def test_contexts_with_both_states() -> None:
    seen = {("control", "x"), ("A", "x"), ("control", "y"), ("B", "z")}
    assert contexts_with_both(seen, "control", "A") == ["x"]
    with pytest.raises(Unsupported, match="no training cell is 'C'"):
        contexts_with_both(seen, "control", "C")
    with pytest.raises(Unsupported, match="no context has both"):
        contexts_with_both(seen, "control", "B")


def test_cellot_components_match_dense_svd() -> None:
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (60, 25)).astype(np.float32)
    mean, axes, scale = cellot.principal_components(sp.csr_matrix(x), 5, rng)
    _, values, expected = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(axes * expected[:5], axis=1)), 1.0, atol=1e-6)
    assert scale == pytest.approx(np.sqrt((values[:5] ** 2).mean() / 60), rel=1e-6)


def test_cellot_weighs_contexts_equally() -> None:
    labels = pd.DataFrame(
        {
            "state": ["control"] * 9 + ["A"] * 4 + ["B"],
            "context": ["x"] * 8 + ["y"] + ["x", "y", "y", "y"] + ["z"],
        }
    )
    pairs = cellot._pairs(labels)
    assert list(pairs) == ["A"], "B has no controls beside it"
    controls, perturbed = pairs["A"]
    assert [list(r) for r in controls] == [list(range(8)), [8]]
    assert [list(r) for r in perturbed] == [[9], [10, 11, 12]]
    drawn = next(cellot._batches(np.arange(14.0)[:, None], controls, 4000, np.random.default_rng(0)))
    assert set(drawn.ravel()) == set(range(9))
    assert np.mean(drawn == 8) == pytest.approx(0.5, abs=0.03)
