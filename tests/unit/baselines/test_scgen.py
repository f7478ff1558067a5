"""scGen, trained for seconds: predictions, global state, and faults that its package does not report."""

import hashlib
import logging
import os
import random
import sys
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

from baselines.scgen import BASELINE, ScGen
from baselines.shared.training import seeded_and_quiet, training_and_validation_cells
from benchmarks.contract import CONTROL, Query, Train, no_report
from benchmarks.errors import ContractError, Unsupported

N_GENES = 120
EPOCHS = 5


@cache
def _cells() -> AnnData:
    """Two contexts, four perturbations (P3 in one context only), 15 cells each; P1 doubles genes 0 to 39."""
    rng = np.random.default_rng(0)
    values, obs = [], []
    for context in ("one", "two"):
        base = rng.gamma(1.0, 3.0, N_GENES)
        for number, perturbation in enumerate((CONTROL, "P1", "P2", "P3")):
            if (context, perturbation) == ("two", "P3"):
                continue
            mean = base.copy()
            mean[40 * (number - 1) : 40 * number] *= 4 if number else 1
            values.append(rng.poisson(mean, (15, N_GENES)))
            obs += [(perturbation, context)] * 15
    frame = pd.DataFrame(obs, columns=["perturbation", "context"], index=[f"cell{i}" for i in range(len(obs))])
    frame["dose"] = np.nan
    matrix = sp.csr_matrix(np.log2(np.vstack(values) + 1).astype(np.float32))
    return AnnData(matrix, obs=frame, var=pd.DataFrame(index=[f"G{i}" for i in range(N_GENES)]))


def _some(context: str, perturbation: str) -> AnnData:
    obs = _cells().obs
    return _cells()[(obs["context"] == context) & (obs["perturbation"] == perturbation)].copy()


def _query(perturbation: str, context: str = "two", direction: str = "n2p", **changes) -> Query:
    cells = _some("two" if context == "unseen" else context, CONTROL if direction == "n2p" else perturbation)
    return Query(
        **{
            "context": context,
            "perturbation": perturbation,
            "direction": direction,
            "cells": cells,
            "seed": 3,
            **changes,
        }
    )


def _fitted(folder, cells: AnnData | None = None, seed: int = 1, report=no_report, **settings) -> ScGen:
    model = BASELINE.build(**{"epochs": EPOCHS, "batch_size": 16, **settings})
    cells = _cells() if cells is None else cells
    model.fit(Train(cells, "log2_cp10k", "CRISPR", workdir=folder, report=report), seed=seed)
    return model


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> ScGen:
    return _fitted(tmp_path_factory.mktemp("scgen"))


def test_predicts_a_finite_cell_per_input_cell(fitted):
    query = _query("P1")
    answer = fitted.predict(query)
    assert answer.unit == "cell"
    assert answer.values.shape == query.cells.shape
    assert not np.allclose(answer.values, fitted.predict(_query("P2")).values)
    assert not np.allclose(answer.values, fitted.predict(_query("P1", direction="p2n")).values)


def test_learns_which_genes_rise(fitted):
    forth, other = (fitted.predict(_query(name)).values.mean(axis=0) for name in ("P1", "P2"))
    change = forth - other
    assert change[:40].mean() > change[40:80].mean() + 0.3
    back = fitted.predict(_query("P1", direction="p2n")).values.mean(axis=0)
    assert back[:40].mean() < forth[:40].mean() - 0.3


def test_same_seed_repeats_and_state_stays_unchanged(tmp_path, fitted, monkeypatch, capfd):
    (tmp_path / "cwd").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    cells, query, seen = _cells().copy(), _query("P1"), []
    expected = fitted.predict(query).values
    before = _global_state(), _digest(cells), _digest(query.cells)
    again = _fitted(tmp_path / "work", cells, report=lambda *given: seen.append(given[:2]))
    np.testing.assert_array_equal(again.predict(query).values, expected)
    assert (_global_state(), _digest(cells), _digest(query.cells)) == before
    assert seen == [(epoch, EPOCHS) for epoch in range(1, EPOCHS + 1)]
    assert os.listdir(tmp_path / "cwd") == []
    assert capfd.readouterr() == ("", "")


def _global_state() -> tuple:
    numpy_state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    return (
        random.getstate(),
        numpy_state,
        torch.get_rng_state().numpy().tobytes(),
        list(warnings.filters),
        logging.getLogger("scvi").level,
        sys.stdout,
    )


def test_leaves_no_trace_in_scvi(fitted):
    import scvi.module.base

    assert "scvi._compat" not in sys.modules
    assert not hasattr(scvi.module.base, "LossRecorder")


def _digest(cells: AnnData) -> str:
    parts = (cells.X.data.tobytes(), cells.obs.to_csv().encode(), str(dict(cells.uns)).encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_last_batch_of_one_cell_and_independent_models(tmp_path, fitted):
    cells = _cells()[np.r_[0:25, 90:101]].copy()  # 36 cells: 33 to train on, one more than two batches of 16
    train, validation = training_and_validation_cells(cells.n_obs, 16, 0)
    assert (len(train), len(validation)) == (32, 4)
    assert sorted([*train, *validation]) == list(range(36))
    expected = fitted.predict(_query("P1")).values
    found = _fitted(tmp_path, cells, epochs=1).predict(_query("P1", context="one")).values
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(fitted.predict(_query("P1")).values, expected)


@pytest.mark.parametrize("direction", ["n2p", "p2n"])
def test_unseen_perturbation_is_unsupported(fitted, direction):
    query = _query("P9", direction=direction, cells=_some("two", CONTROL))
    if direction == "p2n":
        query.cells.obs["perturbation"] = "P9"
    with pytest.raises(Unsupported, match="P9"):
        fitted.predict(query)


def test_unseen_context_has_note(fitted):
    answer = fitted.predict(_query("P1", context="unseen"))
    np.testing.assert_array_equal(answer.values, fitted.predict(_query("P1", context="two")).values)
    assert "'unseen' not in training" in answer.note


def test_change_from_contexts_with_both_states(tmp_path, fitted, monkeypatch):
    """P3 is in context one only; the controls of context two must not enter its vector."""
    asked = []
    predict = fitted._model.predict
    monkeypatch.setattr(fitted._model, "predict", lambda **given: asked.append(given) or predict(**given))
    fitted.predict(_query("P3", cells=_some("two", CONTROL)))
    fitted.predict(_query("P1"))
    assert [given["restrict_arithmetic_to"] for given in asked] == [{"context": ["one"]}, {"context": ["one", "two"]}]


@pytest.mark.slow
def test_dose_is_a_state(tmp_path):
    cells = _cells().copy()
    cells.obs["dose"] = np.where(cells.obs["perturbation"] == "P1", 10.0, np.nan)
    model = _fitted(tmp_path, cells)
    assert model.predict(_query("P1", dose=10.0)).values.shape == (15, N_GENES)
    with pytest.raises(Unsupported, match="P1 at 100"):
        model.predict(_query("P1", dose=100.0))


def test_controls_only_are_unsupported(tmp_path):
    with pytest.raises(Unsupported, match="scGen"):
        _fitted(tmp_path, _some("one", CONTROL))


def test_prediction_keeps_no_cells_in_scvi(fitted):
    stores = type(fitted._model)._per_instance_manager_store[fitted._model.id]
    fitted.predict(_query("P1"))
    held = len(stores)
    for _ in range(3):
        fitted.predict(_query("P2"))
    assert len(stores) == held


def test_saved_model_predicts_the_same(tmp_path, fitted):
    fitted.save(tmp_path)
    restored = BASELINE.build()
    restored.load(tmp_path)
    np.testing.assert_array_equal(restored.predict(_query("P1")).values, fitted.predict(_query("P1")).values)


@pytest.mark.parametrize(("setting", "value"), [("epochs", 0), ("batch_size", 1), ("patience", 0)])
def test_refuses_impossible_settings(setting, value):
    with pytest.raises(ContractError, match=setting):
        BASELINE.build(**{setting: value})


def test_report_writes_to_outer_stream(capsys):
    with seeded_and_quiet(0, lambda done, total, text="": print(done, total, text)) as report:
        print("swallowed")
        warnings.warn("swallowed", stacklevel=1)
        report(1, 2, "seen")
    assert capsys.readouterr().out == "1 2 seen\n"


def test_generators_are_restored_after_an_error():
    before = _global_state()
    with pytest.raises(ZeroDivisionError), seeded_and_quiet(4):
        _draw_and_fail()
    assert _global_state() == before


def _draw_and_fail() -> None:
    np.random.rand()  # noqa: NPY002
    torch.rand(1)
    raise ZeroDivisionError
