"""A finished run is opened again as it was, and its changes share no control cell."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from benchmarks.errors import BenchmarkError, StoreError, UnknownName
from benchmarks.execution.load_run import changes, choose, half_changes, own_genes, reopen
from benchmarks.scoring.cell_sets import mean_profile


@pytest.fixture(scope="module")
def finished(small_run):
    return reopen(small_run)


def test_the_plan_is_the_one_that_was_run(small_run, finished):
    manifest = json.loads((small_run / "manifest.json").read_text())
    assert finished.plan.key == manifest["key"]
    assert finished.plan.question.own.path.name == "toy.h5ad"
    assert len(finished.conditions("n2p")) == sum(len(fold.conditions) for fold in finished.plan.splits) == 8


def test_other_data_are_refused(small_run, tmp_path):
    folder = shutil.copytree(small_run, tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"] = dict.fromkeys(manifest["splits"], "0")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="other data, splits or settings"):
        reopen(folder)
    with pytest.raises(StoreError, match="no manifest"):
        reopen(tmp_path)


def test_predictions_are_those_of_the_condition(finished):
    """A copied input comes back as the input, cell by cell."""
    for asked in finished.conditions("p2n"):
        copied = finished.prediction(asked, "no_change")
        given = finished.plan.cells.X[asked.condition.perturbed_a].toarray()
        assert np.array_equal(copied.dense(), given)
    assert finished.prediction(finished.conditions("n2p")[0], "train_control") is None  # takes p2n only
    assert "train_control" not in finished.models("n2p")


def test_the_change_of_the_truth_and_the_start_share_no_cell(finished):
    asked = finished.conditions("n2p")[0]
    own, x = asked.condition, finished.plan.cells.X
    change, start = changes(finished.plan.cells, asked)
    truth = mean_profile(x[np.concatenate([own.perturbed_a, own.perturbed_b])])
    assert change == pytest.approx(truth - mean_profile(x[own.control_b]))
    assert start == pytest.approx(mean_profile(x[own.control_a]))
    assert not set(own.control_a) & set(own.control_b)


def test_halves_of_the_truth_have_controls_of_their_own(finished):
    asked = finished.conditions("n2p")[0]
    own, x = asked.condition, finished.plan.cells.X
    one, other = half_changes(finished.plan.cells, asked, 3)
    n = len(own.perturbed_a) + len(own.perturbed_b)
    sums = (one + mean_profile(x[own.control_a])) * (n // 2) + (other + mean_profile(x[own.control_b])) * (n - n // 2)
    assert sums == pytest.approx(np.asarray(x[own.truth("n2p")].sum(axis=0)).ravel(), rel=1e-5)
    assert np.array_equal(one, half_changes(finished.plan.cells, asked, 3)[0])
    assert not np.array_equal(one, half_changes(finished.plan.cells, asked, 4)[0])


def test_own_genes_are_columns_of_the_perturbed_genes(finished):
    asked = next(a for a in finished.conditions("n2p") if a.condition.perturbation == "G3+G4")
    assert own_genes(asked, finished.plan.cells.var_names).tolist() == [3, 4]


def test_conditions_are_chosen_by_name(finished):
    every = finished.conditions("n2p")
    assert {a.condition.context for a in choose(every, ("G1",))} == {"A", "B"}
    assert [a.name for a in choose(every, ("A/G1", "a/g1"))] == ["A/G1"]
    with pytest.raises(UnknownName, match=r"Unknown condition 'A/G11'. Did you mean 'A/G1'"):
        choose(every, ("A/G11",))


def test_what_was_not_asked_is_refused(finished):
    with pytest.raises(UnknownName, match="Did you mean 'no_change'"):
        finished.models("n2p", ("no_chang",))
    with pytest.raises(BenchmarkError, match="not p2p"):
        finished.conditions("p2p")


def test_plugins_of_a_folder_are_not_imported(small_run, tmp_path):
    """A manifest from elsewhere names a plugin that exists here: its model is listed, and its file is not executed."""
    folder = shutil.copytree(small_run, tmp_path / "run")
    mark, plugin = tmp_path / "executed", tmp_path / "foreign.py"
    plugin.write_text(f"open({str(mark)!r}, 'w').close()\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["question"] |= {"plugins": [str(plugin)], "models": ["foreign"], "settings": {"foreign": {"a": 1}}}
    manifest["models"]["foreign"] = {"record": {"directions": "n2p"}, "seeds": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = reopen(folder)
    assert "foreign" in found.models("n2p")
    assert "foreign" not in found.models("p2n")
    assert found.prediction(found.conditions("n2p")[0], "foreign") is None
    assert not mark.exists()
