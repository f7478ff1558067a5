"""The adapter of CycSeq: what it hands to the package, what it keeps, what it declines."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from baselines.shared.cycseq_predictor import CycSeqPredictor
from benchmarks import registry
from benchmarks.contract import Query, Train
from benchmarks.errors import Unsupported
from cycseq import preset
from tests.unit.cycseq.conftest import _screen

QUICK = partial(CycSeqPredictor, variant="plus_quick", pretrain_epochs=1, finetune_epochs=0, draws=2)
TERMS = {"G1": frozenset({"a"}), "G2": frozenset({"a", "b"}), "G3": frozenset({"c"}), "new": frozenset({"a", "b"})}


@pytest.fixture(scope="module")
def screen():
    return _screen()


@pytest.fixture
def train(screen):
    return Train(screen, "log2_cp10k", "CRISPR", annotation=TERMS)


def ask(screen, perturbation):
    cells = screen[((screen.obs["context"] == "lineB") & (screen.obs["perturbation"] == "control")).to_numpy()]
    return Query("lineB", perturbation, "n2p", cells, seed=1)


@pytest.mark.parametrize("name", ["cycseq", "cycseq_plus"])
def test_the_names_mean_the_recipe_and_the_variant(name, train):
    full, quick = ("paper", "paper_quick") if name == "cycseq" else ("plus", "plus_quick")
    for direction in ("n2p", "p2n"):
        record = registry.find(f"{name}_{direction}")
        assert (record.training, record.directions) == (name, (direction,))
        assert record.build().variant == full
        assert record.build(**record.quick).variant == quick
        assert f"{name}_{direction}.unseen=annotation" in record.limits
    paper = registry.find("cycseq_n2p").build()._config(train)
    assert paper == preset("paper")


def test_a_higher_dose_is_reached_through_the_controls(screen):
    cells = screen.copy()
    cells.obs["dose"] = np.where(cells.obs["perturbation"] == "control", np.nan, 10.0)
    low = ((cells.obs["context"] == "lineB") & (cells.obs["perturbation"] == "G1")).to_numpy()
    model = QUICK(variant="paper_quick")  # no blend: the additive estimate knows no dose
    model.fit(Train(cells, "log2_cp10k", "drug"), seed=0)
    query = Query("lineB", "G1", "n2p", cells[low].copy(), seed=1, dose=100.0, start_dose=10.0)
    made = model.predict(query)
    assert made.unit == "draw"
    assert made.weights.sum() == low.sum(), "every input cell is in one draw"
    same = model.predict(replace(query, dose=10.0))
    assert not np.allclose(made.mean(), same.mean()), "the target dose matters"
    back = model.predict(replace(query, direction="p2n", dose=None))
    assert made.values.shape == back.values.shape


def test_an_unseen_perturbation_is_declined_unless_asked_for(screen, train, tmp_path):
    refusing = QUICK()
    refusing.fit(train, seed=0)
    with pytest.raises(Unsupported, match="Unknown perturbation 'new'"):
        refusing.predict(ask(screen, "new"))
    answering = QUICK(unseen="annotation")
    answering.fit(train, seed=0)
    made = answering.predict(ask(screen, "new"))
    assert "embedding from annotation (G2 " in made.note
    assert made.weights.sum() == 120
    with pytest.raises(Unsupported, match="no terms for it"):
        answering.predict(ask(screen, "G99"))
    answering.save(tmp_path)
    loaded = QUICK(unseen="annotation")
    loaded.load(tmp_path)
    assert np.array_equal(loaded.predict(ask(screen, "new")).values, made.values)
    seen = answering.predict(ask(screen, "G1"))
    assert seen.note == ""
    assert np.array_equal(seen.values, refusing.predict(ask(screen, "G1")).values)
    with pytest.raises(ValueError, match="unseen is 'guess'"):
        QUICK(unseen="guess")


def test_cells_alone_in_their_condition_are_left_out(screen, train):
    g4 = np.flatnonzero(((screen.obs["context"] == "lineA") & (screen.obs["perturbation"] == "G4")).to_numpy())
    lonely = screen[np.setdiff1d(np.arange(screen.n_obs), g4[1:])]
    one, other = QUICK(), QUICK()
    one.fit(replace(train, cells=lonely.copy()), seed=0)
    other.fit(replace(train, cells=screen[np.setdiff1d(np.arange(screen.n_obs), g4)].copy()), seed=0)
    assert np.array_equal(*(net.predict(ask(screen, "G1")).values for net in (one, other)))


def test_values_below_zero_get_a_linear_output(screen, train):
    signed = screen.copy()
    signed.X = sp.csr_matrix(signed.X.toarray() - 1)
    assert QUICK()._config(replace(train, cells=signed)).model.output == "linear"
    assert QUICK()._config(replace(train, space="zscore")).model.output == "linear"
    assert CycSeqPredictor()._config(train).model.output == "prelu"


def test_no_pairs_are_declined(train):
    controls = train.cells[(train.cells.obs["perturbation"] == "control").to_numpy()].copy()
    with pytest.raises(Unsupported, match="no context has both"):
        QUICK().fit(replace(train, cells=controls), seed=0)
