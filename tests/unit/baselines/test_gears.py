"""GEARS, trained for seconds: predictions, global state, and faults that its package does not report."""

import hashlib
import os
import random
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

from baselines.gears import BASELINE, Gears, choose_validation, similarity_graph
from baselines.shared.gears_package import AlternatePasses, gears_cells, import_gears, load_cells, prepare_data
from baselines.shared.training import seeded_and_quiet
from benchmarks.contract import CONTROL, Query, Train
from benchmarks.errors import ContractError, Unsupported

N_GENES = 120
GENES = [f"G{i:03d}" for i in range(N_GENES)]
PERTURBED = ("G000", "G001", "G002", "G003")
ANNOTATION = {gene: frozenset({f"module{i % 8}", f"part{i % 24}"}) for i, gene in enumerate(GENES) if gene != "G119"}


@cache
def _cells() -> AnnData:
    """Two contexts, controls and four knock-outs, eight cells each."""
    rng = np.random.default_rng(0)
    values, obs = [], []
    for context in ("one", "two"):
        base = rng.gamma(1.0, 3.0, N_GENES)
        for number, perturbation in enumerate((CONTROL, *PERTURBED)):
            mean = base * (1 + 2 * (np.arange(N_GENES) % 8 == number - 1))
            values.append(rng.poisson(mean, (8, N_GENES)))
            obs += [(perturbation, context)] * 8
    frame = pd.DataFrame(obs, columns=["perturbation", "context"], index=[f"cell{i}" for i in range(len(obs))])
    matrix = sp.csr_matrix(np.log2(np.vstack(values) + 1).astype(np.float32))
    return AnnData(matrix, obs=frame, var=pd.DataFrame(index=GENES))


def _relabelled(old: str, new: str) -> AnnData:
    cells = _cells().copy()
    cells.obs["perturbation"] = cells.obs["perturbation"].replace({old: new})
    return cells


def _train(folder: Path, cells: AnnData | None = None, **changes) -> Train:
    return Train(
        **{
            "cells": _cells() if cells is None else cells,
            "space": "log2_cp10k",
            "perturbation_type": "CRISPR",
            "annotation": ANNOTATION,
            "workdir": folder,
            **changes,
        }
    )


def _fitted(folder: Path, cells: AnnData | None = None, seed: int = 1, **settings) -> Gears:
    model = BASELINE.build(**{"epochs": 1, "batch_size": 16, **settings})
    model.fit(_train(folder, cells), seed=seed)
    return model


def _query(perturbation: str, context: str = "one", direction: str = "n2p") -> Query:
    obs = _cells().obs
    controls = _cells()[(obs["context"] == "one") & (obs["perturbation"] == CONTROL)].copy()
    return Query(context, perturbation, direction, controls, seed=3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Gears:
    return _fitted(tmp_path_factory.mktemp("gears"))


def test_predicts_a_finite_cell_per_input_cell(fitted):
    answer = fitted.predict(_query("G000"))
    assert (answer.unit, answer.values.shape) == ("cell", (8, N_GENES))
    assert not np.allclose(answer.values, fitted.predict(_query("G001")).values)
    assert not np.allclose(answer.values, fitted.predict(_query("G000", context="two")).values)


def test_predicts_unseen_genes_and_pairs_of_the_graph(fitted):
    values = [fitted.predict(_query(p)).values for p in ("G050", "G000", "G000+G050")]
    assert not np.allclose(values[0], values[1])
    assert not np.allclose(values[2], values[1])


def test_prediction_is_independent_of_batch(fitted):
    query = _query("G000")
    alone = Query(query.context, query.perturbation, "n2p", query.cells[2:3].copy(), seed=0)
    np.testing.assert_allclose(fitted.predict(alone).values[0], fitted.predict(query).values[2], rtol=1e-4, atol=1e-4)


def test_same_seed_repeats_and_state_stays_unchanged(tmp_path, fitted, monkeypatch, capfd):
    """The package reads a co-expression file of another fold if there is one, and its `predict` answers from a cache."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    query = _query("G000")
    expected = fitted.predict(query).values
    model = _fitted(tmp_path / "work", _cells()[::-1].copy()[: _cells().n_obs - 4].copy(), seed=2)
    assert not np.allclose(model.predict(query).values, expected)
    cells, seen = _cells().copy(), []
    before = _global_state(), _digest(cells), _digest(query.cells)
    model.fit(_train(tmp_path / "work", cells, report=lambda *given: seen.append(given[:2])), seed=1)
    np.testing.assert_array_equal(model.predict(query).values, expected)
    assert (_global_state(), _digest(cells), _digest(query.cells)) == before
    assert seen == [(1, 2), (2, 2)], "one report per context and epoch"
    assert os.listdir(tmp_path / "cwd") == os.listdir(tmp_path / "work") == []
    assert capfd.readouterr() == ("", "")


def test_contexts_are_independent(tmp_path, fitted):
    cells = _cells().copy()
    two = (cells.obs["context"] == "two").to_numpy()
    cells.X = sp.csr_matrix(cells.X.multiply(np.where(two, 3.0, 1.0)[:, None]), dtype=np.float32)
    other = _fitted(tmp_path, cells)
    np.testing.assert_array_equal(other.predict(_query("G000")).values, fitted.predict(_query("G000")).values)
    assert not np.allclose(other.predict(_query("G000", "two")).values, fitted.predict(_query("G000", "two")).values)


def _global_state() -> tuple:
    numpy_state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    return (
        random.getstate(),
        numpy_state,
        torch.get_rng_state().numpy().tobytes(),
        list(warnings.filters),
        hasattr(pd.Series, "nonzero"),
        sys.stdout,
    )


def _digest(cells: AnnData) -> str:
    tables = f"{cells.obs.to_csv()}{cells.var.to_csv()}{dict(cells.uns)}"
    return hashlib.sha256(cells.X.data.tobytes() + tables.encode()).hexdigest()


def test_import_leaves_dcor_and_numba_unchanged():
    import_gears()
    from numba import config

    assert not [name for name in sys.modules if name.partition(".")[0] == "dcor"]
    assert not config.DISABLE_JIT


def test_unannotated_training_cells_are_left_out(tmp_path):
    """The package would train them as control: the model must be the one trained without them."""
    cells = _relabelled("G003", "G119")
    cells = cells[(cells.obs["context"] == "one").to_numpy()].copy()
    model = _fitted(tmp_path, cells)
    without = _fitted(tmp_path, cells[(cells.obs["perturbation"] != "G119").to_numpy()].copy())
    answer = model.predict(_query("G000"))
    assert "8 cells of 1 perturbations" in answer.note
    np.testing.assert_array_equal(answer.values, without.predict(_query("G000")).values)


def test_perturbation_trained_as_control_raises(tmp_path):
    with pytest.raises(ContractError, match="G119"):
        _prepared(_relabelled("G003", "G119"), tmp_path)


def _prepared(cells: AnnData, folder: Path) -> Any:
    with seeded_and_quiet(0):
        terms = {gene: set(found) for gene, found in ANNOTATION.items()}
        return prepare_data(gears_cells(cells), ["G000+ctrl"], terms, folder)


@pytest.mark.parametrize(
    ("perturbation", "reason"),
    [("G119", "no annotation of G119"), ("G000+G119", "no annotation of G119"), ("G000+G001+G002", "3 genes")],
)
def test_perturbations_outside_graph_are_unsupported(fitted, perturbation, reason):
    with pytest.raises(Unsupported, match=reason):
        fitted.predict(_query(perturbation))


def test_context_without_training_cells_is_unsupported(fitted):
    with pytest.raises(Unsupported, match="three"):
        fitted.predict(_query("G000", context="three"))


def test_p2n_is_unsupported(fitted):
    with pytest.raises(Unsupported, match="n2p"):
        fitted.predict(_query("G000", direction="p2n"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"annotation": {}}, "--annotation FILE"),
        ({"perturbation_type": "drug"}, "a drug is no gene"),
        ({"annotation": {"G000": frozenset({"module0"})}}, "there is none"),
    ],
)
def test_unsuitable_data_are_unsupported(tmp_path, changes, reason):
    with pytest.raises(Unsupported, match=reason):
        BASELINE.build(epochs=1).fit(_train(tmp_path, **changes), seed=0)


def test_validation_conditions(fitted):
    conditions = ["ctrl", *(f"G{i:03d}+ctrl" for i in range(30))]
    chosen = choose_validation(conditions, seed=0)
    assert len(chosen) == 3
    assert set(chosen) < set(conditions) - {"ctrl"}
    with pytest.raises(Unsupported, match="two perturbations"):
        choose_validation(["ctrl", "G000+ctrl"], seed=0)
    _, (validated,), _ = fitted._models["one"]
    assert "validation only" in fitted.predict(_query(validated.removesuffix("+ctrl"))).note


def test_untrained_network_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(import_gears().GEARS, "train", lambda self, epochs: None)
    with pytest.raises(ContractError, match="untrained"):
        _fitted(tmp_path)


def test_large_batch_is_cut(tmp_path):
    """The package drops the incomplete last batch; if it is the only one, nothing is trained."""
    data = _prepared(_cells(), tmp_path)
    with seeded_and_quiet(0):
        load_cells(data, 1000, lambda epoch: None)
    assert [len(batch.pert) for batch in data.dataloader["train_loader"]] == [64]


def test_limits_cells_per_condition(tmp_path):
    model = BASELINE.build(max_cells_per_condition=3)
    model._nodes = dict.fromkeys(GENES, 0)
    rows, note = model._trainable_contexts(_cells().obs, 0)["one"]
    counts = _cells().obs["perturbation"].iloc[rows].value_counts().to_dict()
    assert counts == {CONTROL: 8, **dict.fromkeys(PERTURBED, 3)}
    assert note == ""


def test_gene_graph_matches_package():
    from gears.utils import get_GO_edge_list

    rng = np.random.default_rng(1)
    terms = {f"g{i:02d}": frozenset(rng.choice(40, size=rng.integers(3, 9), replace=False).tolist()) for i in range(60)}
    table = pd.DataFrame(
        [edge for gene in terms for edge in get_GO_edge_list((gene, terms))], columns=["source", "target", "importance"]
    )
    theirs = pd.concat([found.nlargest(21, "importance") for _, found in table.groupby("target")])
    names = list(terms)
    edges, weights = similarity_graph(names, terms)
    ours = {(names[a], names[b]): w for (a, b), w in zip(edges.T.tolist(), weights.tolist(), strict=True)}
    expected = dict(zip(zip(theirs["source"], theirs["target"], strict=True), theirs["importance"], strict=True))
    assert ours == pytest.approx(expected, rel=1e-6)
    assert len(ours) < len(table)


@pytest.mark.parametrize(
    ("setting", "value"), [("epochs", 0), ("batch_size", 1), ("max_cells_per_condition", 1), ("graph", "all")]
)
def test_refuses_impossible_settings(setting, value):
    with pytest.raises(ContractError, match=setting):
        BASELINE.build(**{setting: value})


def test_alternate_passes():
    epochs = []
    loader = AlternatePasses([1, 2, 3], epochs.append)
    assert [list(loader) for _ in range(4)] == [[1, 2, 3], [1], [1, 2, 3], [1]]
    assert epochs == [1, 2]
    assert len(loader) == 3
