"""Plugins that break the contract, one way each; written to files by the tests."""

from __future__ import annotations

from pathlib import Path

HEAD = """
import time, os
import numpy as np
from benchmarks.contract import Baseline, Prediction
from benchmarks.errors import Unsupported

class Model:
    def __init__(self, strength: float = 1.0): self.strength = strength
    def fit(self, train, *, seed):
        {fit}
    def predict(self, query):
        {predict}

BASELINE = Baseline(name="{name}", build=Model, directions=("n2p",), summary="a test plugin", source="tests")
"""
GOOD = "return Prediction(query.cells.X.toarray() + self.strength, unit='cell')"
BODIES = {
    "good": ("self.seed = seed", GOOD),
    "raises_in_fit": ("raise RuntimeError('no convergence')", GOOD),
    "raises_once": (
        "self.n = 0",
        "self.n += 1\n        if self.n == 2: raise ValueError('second condition')\n        " + GOOD,
    ),
    "returns_nan": ("pass", "return Prediction(np.full(query.cells.shape, np.nan), unit='cell')"),
    "wrong_shape": ("pass", "return Prediction(query.cells.X.toarray()[:, 1:], unit='cell')"),
    "other_genes": (
        "pass",
        "return Prediction(query.cells.X.toarray(), unit='cell', genes=tuple(query.cells.var_names[::-1]))",
    ),
    "returns_array": ("pass", "return query.cells.X.toarray()"),
    "changes_training": ("train.cells.X.data[:] = 0", GOOD),
    "changes_input": ("pass", "query.cells.X.data[:] = 1; " + GOOD),
    "never_returns": ("pass", "time.sleep(3600)"),
    "hangs_in_fit": ("time.sleep(3600)", GOOD),
    "dies": ("os._exit(9)", GOOD),
    "declines": ("pass", "raise Unsupported('not for me')"),
    "remembers": (
        "self.x = float(np.random.default_rng(seed).random())",
        "return Prediction(query.cells.X.toarray() + self.x, unit='cell')",
    ),
}


def write(folder: Path, name: str) -> Path:
    """Write one of the plugins to a file of its name."""
    fit, predict = BODIES[name]
    path = folder / f"{name}.py"
    path.write_text(HEAD.format(name=name, fit=fit, predict=predict))
    return path
