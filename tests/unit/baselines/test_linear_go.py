"""The linear model with annotation: its formula, its fallback, and that annotation tells unseen perturbations apart."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.linear_go import LinearGo, weighted_terms
from baselines.shared.effects import changes, effects
from benchmarks.contract import CONTROL
from benchmarks.errors import ContractError, Unsupported
from tests.unit.baselines.planted import cells_of, query_of, train_of

N_GENES = 12
TERMS = ("t1", "t2", "t3")
MODULES = dict(zip(TERMS, np.eye(3).repeat(4, axis=1), strict=True))
"""What each annotation term does to the genes."""


def planted(unseen: str = "P9"):
    """Ten perturbations of one term each, whose effect is the term's; one is left out of the training cells."""
    annotation = {f"P{i}": frozenset({TERMS[i % 3]}) for i in range(10)}
    screen = {("x", CONTROL): np.full(N_GENES, 5.0)}
    screen |= {("x", p): 5.0 + 2.0 * MODULES[next(iter(t))] for p, t in annotation.items() if p != unseen}
    truth = 2.0 * MODULES[next(iter(annotation[unseen]))]
    return train_of(cells_of(screen, n_cells=6, noise=0.3), annotation), truth


def test_term_weights():
    rows, weights = weighted_terms({"A": frozenset({"common", "rare"}), "B": frozenset({"common"}), "C": frozenset()})
    assert rows == {"A": 0, "B": 1}
    assert weights.toarray() == pytest.approx(np.array([[0.0, 1.0], [0.0, 0.0]])), "a term of all genes weighs nothing"
    _, weights = weighted_terms({"A": frozenset({"s", "t"}), "B": frozenset({"t"}), "C": frozenset({"u"})})
    both = np.array([np.log(3), np.log(1.5)])
    assert weights.toarray()[0] == pytest.approx([*(both / np.hypot(*both)), 0])


def test_matches_bilinear_formula():
    """A W b + mean with W in its own size [component, term], against the small system the model solves."""
    train, _ = planted()
    model = LinearGo(n_components=2, ridge=0.1)
    model.fit(train, seed=0)
    measured = changes(effects(train), (None, None)).droplevel("context").to_numpy().T
    mean = measured.mean(axis=1)
    left, values, _ = np.linalg.svd(measured - mean[:, None], full_matrices=False)
    a = left[:, :2] * values[:2]
    b = np.stack([model.terms[model.row[f"P{i}"]].toarray().ravel() for i in range(9)], axis=1)
    weights = np.linalg.inv(a.T @ a + 0.1 * np.eye(2)) @ a.T @ (measured - mean[:, None]) @ b.T
    weights = weights @ np.linalg.inv(b @ b.T + 0.1 * np.eye(3))
    asked = model.terms[model.row["P9"]].toarray().ravel()
    control = np.full(N_GENES, 5.0)
    found = model.predict(query_of(control, "x", "P9")).mean() - control
    assert found == pytest.approx(a @ weights @ asked + mean, abs=1e-5)


def test_unseen_perturbations_beat_mean_effect():
    for unseen in ("P7", "P8", "P9"):
        train, truth = planted(unseen)
        model = LinearGo()
        model.fit(train, seed=0)
        control = np.full(N_GENES, 5.0)
        found = model.predict(query_of(control, "x", unseen)).mean() - control
        mean = effects(train).mean(axis=0).to_numpy()
        assert np.corrcoef(found, truth)[0, 1] > 0.95
        assert np.corrcoef(found, truth)[0, 1] > np.corrcoef(mean, truth)[0, 1] + 0.2


def test_fallback_notes():
    train, _ = planted()
    model = LinearGo()
    model.fit(train, seed=0)
    control = np.full(N_GENES, 5.0)
    prediction = model.predict(query_of(control, "x", "Q"))
    assert prediction.note == "Q shares no term with a training perturbation: mean effect"
    assert prediction.mean() - control == pytest.approx(effects(train).mean(axis=0).to_numpy(), abs=1e-5)
    assert "no training perturbation in y" in model.predict(query_of(control, "y", "P9")).note


def test_unsupported_data_and_bad_settings():
    train, _ = planted()
    with pytest.raises(Unsupported, match="annotation"):
        LinearGo().fit(train_of(train.cells), seed=0)
    with pytest.raises(ContractError, match="ridge"):
        LinearGo(ridge=0.0)
