"""Factors and effects on them: shrinkage by hand, planted modules recovered, combinations, fallbacks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from baselines.gsfa_like import GsfaLike, factor_effects
from benchmarks.contract import CONTROL
from benchmarks.errors import Unsupported
from tests.unit.baselines.planted import cells_of, query_of, train_of

MODULE = np.eye(4).repeat(5, axis=1)
"""Four gene modules of five genes."""


def fitted():
    base = np.full(20, 6.0)
    effects = {"A": 2 * MODULE[0], "B": -2 * MODULE[1], "C": MODULE[0] + MODULE[1], "D": 0 * MODULE[0]}
    screen = {(c, CONTROL): base + i for i, c in enumerate("xyz")}
    screen |= {(c, p): screen[c, CONTROL] + e for c in "xy" for p, e in effects.items()}
    model = GsfaLike(n_factors=4)
    model.fit(train_of(cells_of(screen, n_cells=40, noise=0.5)), seed=0)
    return model, base, effects


def change(model, base, context, perturbation):
    prediction = model.predict(query_of(base, context, perturbation))
    return prediction.mean() - base, prediction.note


def test_recovers_planted_module_effects():
    model, base, effects = fitted()
    for context in ("x", "z"):
        for name in ("A", "B", "C"):
            found, note = change(model, base, context, name)
            assert found == pytest.approx(effects[name], abs=0.25)
            assert note == ""


def test_combination_adds_parts_to_shared_effect():
    model, base, _ = fitted()
    shared, note = change(model, base, "x", "Q")
    assert note == "Q not trained on: what all perturbations do"
    parts = [change(model, base, "x", name)[0] for name in ("A", "B")]
    both, note = change(model, base, "x", "A+B")
    assert both == pytest.approx(sum(parts) - shared, abs=1e-5)
    assert note == ""
    assert change(model, base, "x", "A+Q")[1] == "Q not trained on: left out of the sum"


def test_penalty_is_noise_over_signal():
    """Scores ±1 around 3 and −3: σ² = 8/6, the means' variance 18; solved by hand."""
    scores = np.array([[4.0], [2], [4], [2], [-4], [-2], [-4], [-2]])
    obs = pd.DataFrame({"context": "x", "perturbation": ["A"] * 4 + ["B"] * 4})
    names, found = factor_effects(scores, obs)
    assert names == ["A", "B"]
    noise = 8 / 6
    penalty = noise / (18 - noise / 4)
    assert found.ravel() == pytest.approx([0, 12 / (4 + penalty), -12 / (4 + penalty)], abs=1e-6)


def test_factor_without_signal_gets_mean():
    scores = np.array([[1.0], [3], [1], [3]])
    obs = pd.DataFrame({"context": "x", "perturbation": ["A", "A", "B", "B"]})
    assert factor_effects(scores, obs)[1].ravel() == pytest.approx([2, 0, 0])


def test_unsupported_data():
    model, base, _ = fitted()
    from dataclasses import replace

    with pytest.raises(Unsupported, match="doses"):
        model.predict(replace(query_of(base, "x", "A"), dose=100.0))
    with pytest.raises(Unsupported, match="no context"):
        GsfaLike().fit(train_of(cells_of({("x", CONTROL): base, ("y", "A"): base})), seed=0)
