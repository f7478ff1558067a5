"""Batches, surviving effects, and batch correction in runs without any use of held-out cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data.cell_table import read
from benchmarks.errors import DataError, LeakageError, UnknownName
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import run
from benchmarks.scoring.surviving_effects import summary, surviving_effects
from benchmarks.tasks.batch_correction.batches import BatchCorrection, confounding, label_batches
from benchmarks.tasks.batch_correction.combat import Combat
from benchmarks.tasks.question import Question
from benchmarks.tasks.splits import split
from tests.conftest import make_cells

STUDY = "s"


def screen(effect: float = 6.0, n: int = 40) -> AnnData:
    """Two contexts; A and B change four genes each by `effect`; context y lies higher and is noisier."""
    cells = make_cells({(c, p): n for c in ("x", "y") for p in ("A", "B", "control")}, n_genes=24)
    x = cells.X.toarray()
    for place, name in enumerate(("A", "B")):
        rows = (cells.obs["perturbation"] == name).to_numpy()
        x[np.ix_(rows, range(4 * place, 4 * place + 4))] += effect
    y = (cells.obs["context"] == "y").to_numpy()
    x[y] = 2 * x[y] + 5
    cells.X = sp.csr_matrix(x.astype(np.float32))
    return cells


# --- batches ---------------------------------------------------------------------------------------------------------


def test_labels_of_batches():
    obs = pd.DataFrame({"context": ["K562", "K562"], "batch": ["r1", "r2"], "perturbation": ["A", "B"]})
    obs["dose"] = [np.nan, 100.0]
    assert list(label_batches(obs, "technical", "s")) == ["s × K562 × r1", "s × K562 × r2"]
    assert list(label_batches(obs, "per_condition", "s")) == ["s × K562 × r1 × A", "s × K562 × r2 × B × 100 nM"]


def test_reference_has_most_controls_then_most_cells():
    for batches, controls, chosen in (("abbc", [1, 0, 0, 0], "a"), ("abb", [1, 1, 0], "b"), ("ba", [1, 1], "a")):
        obs = pd.DataFrame({"context": "x", "batch": list(batches), "is_control": np.array(controls, dtype=bool)})
        assert BatchCorrection.of("technical", "s", None, obs).reference == f"s × x × {chosen}"


def test_confounding_of_batch_and_context():
    obs = pd.DataFrame({"context": ["x", "x", "y", "y", "z"], "perturbation": ["control", "A", "A", "control", "A"]})
    table = confounding(obs, ["r", "b1", "b1", "b2", "b3"], "r")
    assert table["separable"].to_dict() == {"b1": True, "b2": True, "b3": False, "r": True}
    assert table.loc["b1", "levels"] == "x, y"
    assert table["n_controls"].to_dict() == {"b1": 0, "b2": 1, "b3": 0, "r": 1}


# --- surviving effects -----------------------------------------------------------------------------------------------


def corrected(cells: AnnData, method: str, protocol: str, tmp_path) -> tuple[AnnData, np.ndarray]:
    fold = split(cells.obs, protocol, 0)
    correction = BatchCorrection.of(method, STUDY, None, cells.obs)
    correction.prepare(tmp_path, fold, cells)
    return read(correction.read(tmp_path, fold, cells)), fold.train


def test_technical_keeps_effects_and_per_condition_removes_them(tmp_path):
    cells = screen()
    technical = surviving_effects(cells, *corrected(cells, "technical", "held_out_cells", tmp_path))
    conditions = surviving_effects(cells, *corrected(cells, "per_condition", "held_out_cells", tmp_path))
    assert technical["detected"].all()
    assert (technical["share_of_spread"] > 0.8).all()
    assert (conditions["share_of_spread"] < 0.1).all()
    assert "removes the very effect" in summary(conditions, "per_condition")
    assert "4 of 4 conditions differ" in summary(technical, "technical")


def test_surviving_effects_of_unchanged_cells():
    cells = screen(effect=0.0)
    strong = screen()
    train = np.arange(cells.n_obs)
    table = surviving_effects(strong, strong, train)
    np.testing.assert_allclose(table["share"], 1.0)
    np.testing.assert_allclose(table["share_of_spread"], 1.0)
    none = surviving_effects(cells, cells, train)
    assert none.loc[~none["detected"], "share"].isna().all()
    assert (none["e_before"] < 0.1 * table["e_before"]).all()
    assert "None of 4 conditions" in summary(none.assign(detected=False), "technical")


def test_surviving_effects_of_condition_with_one_cell():
    cells = screen()
    first = np.flatnonzero((cells.obs["perturbation"] != "A") | (cells.obs["context"] != "x"))
    few = cells[np.append(first, 0)].copy()
    table = surviving_effects(few, few, np.arange(few.n_obs)).set_index(["context", "perturbation"])
    assert table.loc[("x", "A"), "n_cells"] == 1
    assert table.loc[("x", "A"), ["e_before", "share"]].isna().all()


# --- folds -----------------------------------------------------------------------------------------------------------


def test_parameters_do_not_depend_on_held_out_cells(tmp_path, grid_cells):
    fold = split(grid_cells.obs, "unseen_context", 0)
    correction = BatchCorrection.of("technical", STUDY, None, grid_cells.obs)
    correction.prepare(tmp_path / "a", fold, grid_cells)
    held_out = fold.tested
    x = grid_cells.X.toarray()
    x[held_out] = np.random.default_rng(1).exponential(50, (len(held_out), grid_cells.n_vars))
    other = AnnData(X=sp.csr_matrix(x), obs=grid_cells.obs, var=grid_cells.var)
    correction.prepare(tmp_path / "b", fold, other)
    first, second = (Combat.load(correction.path(tmp_path / run, fold)) for run in "ab")
    for name in ("mean", "variance", "shift", "scale"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    sides = correction.read(tmp_path / "a", fold, grid_cells), correction.read(tmp_path / "b", fold, other)
    one, two = (side.X[fold.train].toarray() for side in sides)
    np.testing.assert_array_equal(one, two)


def test_parameters_of_other_cells_raise_leakage_error(tmp_path, grid_cells):
    fold = split(grid_cells.obs, "unseen_context", 0)
    correction = BatchCorrection.of("technical", STUDY, None, grid_cells.obs)
    stolen = replace(fold, train=np.append(fold.train, fold.conditions[0].perturbed_a[0]))
    correction.prepare(tmp_path, stolen, grid_cells)
    with pytest.raises(LeakageError, match=str(len(fold.train) + 1)):
        correction.read(tmp_path, fold, grid_cells)


def test_check_refuses_batch_without_training_cells(grid_cells):
    correction = BatchCorrection.of("per_condition", STUDY, None, grid_cells.obs)
    with pytest.raises(DataError, match="per_condition"):
        correction.check(grid_cells.obs, [split(grid_cells.obs, "unseen_context", 0)])
    correction.check(grid_cells.obs, [split(grid_cells.obs, "held_out_cells", 0)])
    correction.check(grid_cells.obs, [split(grid_cells.obs, "resampled", 0)])


def test_unknown_reference_raises(grid_cells):
    with pytest.raises(UnknownName, match=r"K562.*s × x × b1"):
        BatchCorrection.of("technical", STUDY, "K562", grid_cells.obs)
    chosen = BatchCorrection.of("technical", STUDY, "s × y × b1", grid_cells.obs)
    assert chosen.reference == "s × y × b1"


# --- whole runs ------------------------------------------------------------------------------------------------------

PLAIN = Question(suite="smoke", models=("context_transfer",), directions=("n2p",))


def test_run_with_integration(tmp_path):
    plan = make_plan(replace(PLAIN, integration="technical"))
    result = run(plan, tmp_path, Execution(figures=False))
    assert result.failures == 0
    assert plan.space == "log2_cp10k_combat"
    scores = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    rows = scores[(scores["kind"] == "model") & (scores["status"] == "ok")]
    assert set(rows["audit"]) == {"clean"}
    oracle = scores[(scores["model"] == "oracle") & (scores["metric"] == "mse")]["value"].astype(float)
    assert (oracle < 1e-20).all()
    effects = pd.read_csv(tmp_path / "integration" / "effects.csv")
    arm = plan.cells.obs[["context", "perturbation"]].drop_duplicates()
    assert len(effects) == len(arm[arm["perturbation"] != "control"])
    words = (tmp_path / "integration" / "README.md").read_text()
    assert (
        f"Estimated from {len(plan.splits[0].train)} training cells; reference: {plan.integration.reference}" in words
    )
    seen = plan.cells_of(plan.splits[0], tmp_path)
    same = (plan.integration.batches(plan.cells.obs) == plan.integration.reference).to_numpy()
    np.testing.assert_array_equal(seen.X[same].toarray(), plan.cells.X[same].toarray())
    assert np.abs(seen.X[~same] - plan.cells.X[~same]).max() > 0.1


def test_integration_changes_run_key_and_training_keys(tmp_path):
    plans = [make_plan(replace(PLAIN, integration=method)) for method in ("none", "technical")]
    keys = [{spec.key for spec in plan.specs} for plan in plans]
    assert plans[0].key != plans[1].key
    assert not keys[0] & keys[1]


def test_measured_only(smoke):
    with_all, measured_only = make_plan(PLAIN), make_plan(replace(PLAIN, measured_only=True))
    kept = {
        p for p in set(with_all.cells.obs["perturbation"]) if set(p.split("+")) <= {*smoke.cells.var_names, "control"}
    }
    assert set(measured_only.cells.obs["perturbation"]) == kept
    assert any("left out" in text for text in measured_only.dataset.warnings)


def test_plan_refuses_per_condition_with_held_out_conditions():
    with pytest.raises(DataError, match="held_out_cells, resampled"):
        make_plan(replace(PLAIN, integration="per_condition"))
