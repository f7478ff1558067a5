"""Entropic transport: small plans by hand, shifts recovered, states it does not know declined."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.ot_barycentric import OtBarycentric, entropic_map
from baselines.shared.components import components
from benchmarks.contract import CONTROL
from benchmarks.errors import ContractError, Unsupported
from tests.unit.baselines.planted import cells_of, query_of, train_of

SHIFT = np.array([2.0, -1.0, 0.0, 0.0, 1.0, 0.0])


def screen(**contexts: dict[str, np.ndarray]):
    base = {c: 6.0 + i * np.arange(6.0) / 3 for i, c in enumerate(contexts)}
    found = {(c, CONTROL): base[c] for c in contexts}
    return found | {(c, p): base[c] + e for c, own in contexts.items() for p, e in own.items()}


def fitted(**contexts: dict[str, np.ndarray]):
    model = OtBarycentric(n_components=3)
    model.fit(train_of(cells_of(screen(**contexts), n_cells=60, noise=0.2)), seed=0)
    return model


def test_distant_groups_map_to_their_own():
    source = np.array([[0.0, 0], [10, 0]])
    target = np.array([[0.0, 1], [10, 1]])
    assert entropic_map(source, target, source, 0.01) == pytest.approx(target, abs=1e-6)


def test_strong_regularisation_maps_to_mean():
    target = np.array([[0.0, 0], [2, 4]])
    moved = entropic_map(np.array([[1.0, 1], [3, 3]]), target, np.array([[50.0, -7.0]]), 1e6)
    assert moved == pytest.approx(np.array([[1.0, 2]]), abs=1e-3)


def test_map_equals_barycentric_projection():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(7, 2)), rng.normal(size=(9, 2)) + 1
    moved = entropic_map(source, target, source, 0.5)
    assert moved.mean(axis=0) == pytest.approx(target.mean(axis=0), abs=1e-4), "mass is kept: the mean goes to the mean"
    assert np.ptp(moved, axis=0).max() < np.ptp(target, axis=0).max(), "a projection lies inside its targets"


@pytest.mark.parametrize("direction", ["n2p", "p2n"])
def test_recovers_planted_shift(direction):
    sign = 1 if direction == "n2p" else -1
    model = fitted(x={"A": SHIFT}, y={"B": SHIFT})
    for context, perturbation, note in (("x", "A", ""), ("y", "A", "from x")):
        base = screen(x={}, y={})[context, CONTROL] + (SHIFT if direction == "p2n" else 0)
        query = query_of(base, context, perturbation, direction, n_cells=60, noise=0.2)
        prediction = model.predict(query)
        start = np.asarray(query.cells.X.mean(axis=0)).ravel()
        assert prediction.mean() - start == pytest.approx(sign * SHIFT, abs=0.15)
        assert prediction.note == note
        assert prediction.values.shape == query.cells.shape


def test_debias_keeps_spread():
    """Without it cells are drawn together more, and the query cells' own offset from the training cells counts as effect."""
    cells = cells_of(screen(x={"A": SHIFT}), n_cells=150, noise=0.5)
    offset = np.array([0.0, 0, 0.4, 0, 0, 0])
    query = query_of(screen(x={})["x", CONTROL] + offset, "x", "A", n_cells=150, noise=0.5)
    spread, shift = {}, {}
    for debias in (True, False):
        model = OtBarycentric(n_components=5, epsilon=0.1, debias=debias)
        model.fit(train_of(cells), seed=0)
        prediction = model.predict(query)
        spread[debias] = prediction.dense().var(axis=0).sum() / query.cells.X.toarray().var(axis=0).sum()
        shift[debias] = (prediction.mean() - np.asarray(query.cells.X.mean(axis=0)).ravel())[2]
    assert 0.7 < spread[True] < 1.2
    assert spread[False] < spread[True] - 0.2
    assert shift[False] < -0.1
    assert abs(shift[True]) < 0.6 * abs(shift[False])


def test_unsupported_queries():
    model = fitted(x={"A": SHIFT}, y={})
    with pytest.raises(Unsupported, match="Q"):
        model.predict(query_of(np.full(6, 6.0), "x", "Q"))
    with pytest.raises(Unsupported, match="context w"):
        model.predict(query_of(np.full(6, 6.0), "w", "A"))
    with pytest.raises(ContractError, match="max_cells"):
        OtBarycentric(max_cells=0)


def test_components_match_dense_svd():
    cells = cells_of(screen(x={"A": SHIFT}, y={"A": -SHIFT}), n_cells=10, noise=0.5)
    group = (cells.obs["context"] == "y").to_numpy().astype(int)
    means = np.stack([np.asarray(cells[group == g].X.mean(axis=0)).ravel() for g in (0, 1)])
    scores, values, loadings = components(cells.X, means, group, 3, seed=0)
    centred = cells.X.toarray() - means[group]
    _, expected, right = np.linalg.svd(centred, full_matrices=False)
    assert values == pytest.approx(expected[:3], rel=1e-5)
    assert np.abs(loadings @ right[:3].T) == pytest.approx(np.eye(3), abs=1e-4)
    assert scores == pytest.approx(centred @ loadings.T, abs=1e-4)
