"""Simple predictors asked for a higher dose answer with what training cells say of that step, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from baselines.context_transfer import ContextTransfer
from baselines.linear import Linear
from baselines.shared.effects import changes, effects
from baselines.shared.states import start_and_end
from baselines.train_mean import TrainMean
from benchmarks.contract import CONTROL, Query, Train
from benchmarks.errors import Unsupported

LEVELS = {
    ("x", CONTROL, 0.0): (1.0, 1.0),
    ("y", CONTROL, 0.0): (2.0, 2.0),
    ("x", "E", 10.0): (2.0, 1.0),
    ("x", "E", 100.0): (5.0, 1.0),
    ("x", "F", 10.0): (1.0, 1.0),
    ("x", "F", 100.0): (2.0, 3.0),
    ("x", "D", 10.0): (1.0, 2.0),
    ("y", "D", 10.0): (2.0, 6.0),
}
"""(context, compound, dose) → expression of the two genes."""


def cells(keys):
    rows = [(key, LEVELS[key]) for key in keys for _ in range(3)]
    obs = pd.DataFrame([key for key, _ in rows], columns=["context", "perturbation", "dose"])
    obs["dose"] = obs["dose"].replace(0.0, np.nan)
    obs["is_control"] = obs["perturbation"] == CONTROL
    obs.index = obs.index.astype(str)
    x = sp.csr_matrix(np.array([level for _, level in rows], dtype=np.float32))
    return AnnData(x, obs=obs, var=pd.DataFrame(index=["g1", "g2"]))


@pytest.fixture
def train():
    return Train(cells(list(LEVELS)), "log2_cp10k", "drug")


def raised(context="x"):
    return Query(context, "D", "n2p", cells([(context, "D", 10.0)]), 0, dose=100.0, start_dose=10.0)


def step(model, train, query):
    model.fit(train, seed=0)
    answer = model.predict(query)
    return (answer.mean() - query.cells.X.toarray().mean(axis=0)).tolist(), answer.note


def test_changes_between_doses(train):
    table = changes(effects(train), (10.0, 100.0))
    assert table.index.tolist() == [("x", "E"), ("x", "F")]
    assert table.to_numpy().tolist() == [[3.0, 0.0], [1.0, 2.0]]
    assert changes(effects(train), (None, 100.0)).to_numpy().tolist() == [[4.0, 0.0], [1.0, 2.0]]


@pytest.mark.parametrize("build", [TrainMean, Linear])
def test_mean_step_of_other_compounds(build, train):
    assert step(build(), train, raised())[0] == [2.0, 1.0]


def test_missing_step_falls_back_to_other_contexts(train):
    found, note = step(TrainMean(), train, raised("y"))
    assert found == pytest.approx([2.0, 1.0], abs=1e-6)
    assert "no training perturbation in y" in note


def test_last_step_replaces_unseen_step(train):
    found, note = step(ContextTransfer(), train, raised())
    assert found == pytest.approx([0.0, 4.0], abs=1e-6), "D from controls to 10 nM in y"
    assert note == "from y; step from controls to 10 nM taken for the next"


def test_p2n_subtracts_effect_of_input_dose(train):
    query = Query("x", "E", "p2n", cells([("x", "E", 100.0)]), 0, start_dose=100.0)
    assert step(TrainMean(), train, query)[0] == [-2.5, -1.0]


def test_unseen_step_is_unsupported(train):
    model = TrainMean()
    model.fit(train, seed=0)
    with pytest.raises(Unsupported, match="both doses"):
        model.predict(Query("x", "D", "n2p", cells([("x", "D", 10.0)]), 0, dose=1000.0, start_dose=10.0))


def test_states_of_doses():
    assert start_and_end(raised()) == ("D at 10.0 nM", "D at 100.0 nM")
