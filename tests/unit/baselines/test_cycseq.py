"""The adapter of CycSeq: training cells, settings, saved models, unsupported queries."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from baselines.cycseq import CycSeqPredictor
from benchmarks import registry
from benchmarks.contract import Query, Train
from benchmarks.errors import ContractError, Unsupported
from cycseq import preset
from tests.unit.baselines.planted import cells_of

QUICK = partial(CycSeqPredictor, variant="paper_quick", pretrain_epochs=1, finetune_epochs=0, draws=2)
N_CELLS = 12
TERMS = {"G1": frozenset({"a"}), "G2": frozenset({"a", "b"}), "G3": frozenset({"c"}), "new": frozenset({"a", "b"})}


@pytest.fixture(scope="module")
def screen():
    """Two contexts, controls and four perturbations, twelve cells each."""
    rng = np.random.default_rng(0)
    names = ("control", "G1", "G2", "G3", "G4")
    profiles = {(context, name): rng.uniform(0.5, 4.0, 20) for context in ("lineA", "lineB") for name in names}
    cells = cells_of(profiles, n_cells=N_CELLS, noise=0.3)
    cells.X.data = np.maximum(cells.X.data, 0.0)
    return cells


@pytest.fixture(scope="module")
def train(screen):
    return Train(screen, "log2_cp10k", "CRISPR", annotation=TERMS)


@pytest.fixture(scope="module")
def without_g4(screen, train):
    """Training cells without G4 in lineA."""
    gone = (screen.obs["context"] == "lineA") & (screen.obs["perturbation"] == "G4")
    return replace(train, cells=screen[~gone.to_numpy()].copy())


@pytest.fixture(scope="module")
def refusing(without_g4):
    model = QUICK()
    model.fit(without_g4, seed=0)
    return model


def ask(screen, perturbation):
    cells = screen[((screen.obs["context"] == "lineB") & (screen.obs["perturbation"] == "control")).to_numpy()]
    return Query("lineB", perturbation, "n2p", cells, seed=1)


@pytest.mark.parametrize("name", ["cycseq", "cycseq_plus"])
def test_names_and_presets(name, train):
    full, quick = ("paper", "paper_quick") if name == "cycseq" else ("plus", "plus_quick")
    for direction in ("n2p", "p2n"):
        record = registry.find(f"{name}_{direction}")
        assert (record.training, record.directions) == (name, (direction,))
        assert record.build().variant == full
        assert record.build(**record.quick).variant == quick
        assert f"{name}_{direction}.unseen=annotation" in record.limits
    paper = registry.find("cycseq_n2p").build()._config(train)
    assert paper == preset("paper")


def test_higher_dose_is_reached_through_the_controls(screen):
    cells = screen.copy()
    cells.obs["dose"] = np.where(cells.obs["perturbation"] == "control", np.nan, 10.0)
    low = ((cells.obs["context"] == "lineB") & (cells.obs["perturbation"] == "G1")).to_numpy()
    model = QUICK()
    model.fit(Train(cells, "log2_cp10k", "drug"), seed=0)
    query = Query("lineB", "G1", "n2p", cells[low].copy(), seed=1, dose=100.0, start_dose=10.0)
    made = model.predict(query)
    assert made.unit == "draw"
    assert made.weights.sum() == low.sum(), "every input cell is in one draw"
    same = model.predict(replace(query, dose=10.0))
    assert not np.allclose(made.mean(), same.mean()), "the target dose matters"
    back = model.predict(replace(query, direction="p2n", dose=None))
    assert made.values.shape == back.values.shape


def test_unseen_perturbations_are_unsupported_by_default(screen, refusing):
    with pytest.raises(Unsupported, match="new"):
        refusing.predict(ask(screen, "new"))
    with pytest.raises(ContractError, match="unseen"):
        QUICK(unseen="guess")


def test_unseen_perturbations_from_annotation(screen, without_g4, refusing, tmp_path):
    model = QUICK(unseen="annotation")
    model.fit(without_g4, seed=0)
    made = model.predict(ask(screen, "new"))
    assert "embedding from annotation (G2 " in made.note
    assert made.weights.sum() == N_CELLS
    with pytest.raises(Unsupported, match="G99"):
        model.predict(ask(screen, "G99"))
    model.save(tmp_path)
    loaded = QUICK(unseen="annotation")
    loaded.load(tmp_path)
    assert np.array_equal(loaded.predict(ask(screen, "new")).values, made.values)
    seen = model.predict(ask(screen, "G1"))
    assert seen.note == ""
    assert np.array_equal(seen.values, refusing.predict(ask(screen, "G1")).values)


def test_cells_alone_in_their_condition_are_left_out(screen, train, refusing):
    g4 = np.flatnonzero(((screen.obs["context"] == "lineA") & (screen.obs["perturbation"] == "G4")).to_numpy())
    lonely = screen[np.setdiff1d(np.arange(screen.n_obs), g4[1:])]
    model = QUICK()
    model.fit(replace(train, cells=lonely.copy()), seed=0)
    assert np.array_equal(*(net.predict(ask(screen, "G1")).values for net in (model, refusing)))


def test_values_below_zero_get_a_linear_output(screen, train):
    signed = screen.copy()
    signed.X = sp.csr_matrix(signed.X.toarray() - 1)
    assert QUICK()._config(replace(train, cells=signed)).model.output == "linear"
    assert QUICK()._config(replace(train, space="zscore")).model.output == "linear"
    assert CycSeqPredictor()._config(train).model.output == "prelu"


def test_no_pairs_are_unsupported(train):
    controls = train.cells[(train.cells.obs["perturbation"] == "control").to_numpy()].copy()
    with pytest.raises(Unsupported, match="no context has both"):
        QUICK().fit(replace(train, cells=controls), seed=0)
