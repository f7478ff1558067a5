"""The perturbed gene alone, by hand: three genes, levels 4, 2 and 3 in the controls."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.own_gene import OwnGene
from benchmarks.contract import CONTROL
from benchmarks.errors import Unsupported
from tests.unit.baselines.planted import cells_of, query_of, train_of

LEVELS = [4.0, 2.0, 3.0]
GENES = ("A", "B", "C")


def trained(**contexts: dict[str, list[float]]) -> OwnGene:
    """Fit on controls at `LEVELS` and each perturbation's change from them."""
    profiles = {(c, CONTROL): np.array(LEVELS) for c in contexts}
    profiles |= {(c, p): np.array(LEVELS) + change for c, own in contexts.items() for p, change in own.items()}
    model = OwnGene()
    model.fit(train_of(cells_of(profiles, genes=GENES)), seed=0)
    return model


def change(model: OwnGene, context: str, perturbation: str, direction: str = "n2p") -> tuple[np.ndarray, str]:
    prediction = model.predict(query_of(LEVELS, context, perturbation, direction, genes=GENES))
    return (prediction.mean() - LEVELS) * (1 if direction == "n2p" else -1), prediction.note


def test_slope_by_hand():
    # (4 · −4 + 2 · −1) / (4² + 2²) = −0.9; what A does to C is not looked at
    model = trained(x={"A": [-4, 0, 5], "B": [0, -1, 0]})
    for direction in ("n2p", "p2n"):
        effect, note = change(model, "x", "C", direction)
        assert effect == pytest.approx([0, 0, -0.9 * 3], abs=1e-5)
        assert note == ""
    assert change(model, "x", "A+C")[0] == pytest.approx([-0.9 * 4, 0, -0.9 * 3], abs=1e-5)


def test_slope_per_context():
    model = trained(x={"A": [-4, 0, 0]}, y={"A": [2, 0, 0]}, z={})
    assert change(model, "x", "B")[0][1] == pytest.approx(-2.0, abs=1e-5)
    assert change(model, "y", "B")[0][1] == pytest.approx(1.0, abs=1e-5), "activation raises the gene"
    effect, note = change(model, "z", "B")
    assert effect[1] == pytest.approx(-0.25 * 2, abs=1e-5)  # (4 · −4 + 4 · 2) / (4² + 4²)
    assert note == "no training perturbation in z: slope of all contexts"


def test_unsupported_queries():
    model = trained(x={"A": [-4, 0, 0]})
    with pytest.raises(Unsupported, match="Q"):
        change(model, "x", "Q")
    with pytest.raises(Unsupported, match="in w"):
        change(model, "w", "A")
    with pytest.raises(Unsupported, match="measured gene"):
        trained(x={"Q": [-4, 0, 0]})
