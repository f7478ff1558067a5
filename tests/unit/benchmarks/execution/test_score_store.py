"""What stays of predictions: damaged or stale scores are made again, from predictions where these are kept."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from benchmarks.data.own_file import OwnFile
from benchmarks.errors import ScoringError, StoreError
from benchmarks.execution import score_store
from benchmarks.execution.events import RunStarted, UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.load_run import reopen
from benchmarks.execution.plan import make_plan
from benchmarks.execution.prediction_store import get_outcome
from benchmarks.execution.runner import disk_need, run
from benchmarks.tasks.question import Question
from tests.unit.benchmarks.scoring.screens import screen

SETS = {"no_change", "train_mean", "context_transfer"}
OWN = "predictions/context_transfer/n2p-unseen_context-fold0-seed0"


def question(home):
    own = OwnFile(home / "toy.h5ad", context="context", values="log2", source="simulated")
    return Question(
        suite="own", own=own, models=("context_transfer",), directions=("n2p",), folds=1, annotation=home / "terms.json"
    )


def go(home, folder, *, keep=False):
    """Run, or go on; returns the models that were trained."""
    events = []
    execution = Execution(executor="inline", figures=False, keep_predictions=keep)
    run(make_plan(question(home)), folder, execution, events.append)
    return {event.spec.record.name for event in events if isinstance(event, UnitStarted)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two runs of the same question: `dropped` and `kept` predictions."""
    home = tmp_path_factory.mktemp("home")
    cells = screen(n_cells=40, n_controls=90)
    cells.obs = cells.obs.drop(columns="is_control")
    cells.write_h5ad(home / "toy.h5ad")
    (home / "terms.json").write_text(json.dumps({"G0": ["term"]}))
    go(home, home / "dropped")
    go(home, home / "kept", keep=True)
    return home


@pytest.fixture
def copied(home, tmp_path):
    return lambda name: shutil.copytree(home / name, tmp_path / name)


def table(folder):
    return pd.read_csv(folder / "scores.csv")


def test_predictions_are_dropped_unless_they_are_to_be_kept(home):
    assert not list((home / "dropped").rglob("predictions/**/c*.npz"))
    assert len(list((home / "kept" / OWN).glob("c*.npz"))) == 4
    pd.testing.assert_frame_equal(table(home / "dropped"), table(home / "kept"), check_exact=True)


def test_mean_profiles_stay(home):
    kept, dropped = (reopen(home / name) for name in ("kept", "dropped"))
    for asked in kept.conditions("n2p"):
        expected = kept.prediction(asked, "context_transfer").mean()
        assert np.array_equal(dropped.mean(asked, "context_transfer"), expected)
    with pytest.raises(StoreError, match="--keep-predictions"):
        dropped.prediction(asked, "context_transfer")
    assert dropped.mean(asked, "train_control") is None


def test_changed_mean_profiles_are_refused(copied):
    folder = copied("dropped")
    means = np.load(folder / OWN / "means.npy")
    np.save(folder / OWN / "means.npy", means + 1)
    finished = reopen(folder)
    with pytest.raises(StoreError, match="changed"):
        finished.mean(finished.conditions("n2p")[0], "context_transfer")


def test_predictions_can_be_kept_later(home, copied):
    folder = copied("dropped")
    assert go(home, folder) == set()
    assert go(home, folder, keep=True) == SETS
    assert len(list((folder / OWN).glob("c*.npz"))) == 4
    pd.testing.assert_frame_equal(table(folder), table(home / "kept"), check_exact=True)


@pytest.mark.parametrize("name", ["values.npz", "means.npy"])
@pytest.mark.parametrize("damage", ["changed", "truncated", "removed"])
def test_damaged_scores_are_made_again(home, copied, name, damage):
    for kind, trained in (("dropped", {"context_transfer"}), ("kept", set())):
        folder = copied(kind)
        path = folder / OWN / name
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.unlink()
        if damage != "removed":
            path.write_bytes(content if damage == "changed" else content[:200])
        assert go(home, folder, keep=kind == "kept") == trained
        pd.testing.assert_frame_equal(table(folder), table(home / kind), check_exact=True)


def test_other_code_scores_again(home, copied, monkeypatch):
    folders = copied("dropped"), copied("kept")
    monkeypatch.setattr(score_store, "code_hash", lambda: "other code")
    for folder, trained in zip(folders, (SETS, set()), strict=True):
        assert go(home, folder, keep=folder.name == "kept") == trained
        assert get_outcome(folder / OWN).code == "other code"
        pd.testing.assert_frame_equal(table(folder), table(home / folder.name), check_exact=True)


def test_scores_of_models_that_are_not_asked_are_failures_when_damaged(home, copied):
    folder = copied("dropped")
    (folder / OWN / "values.npz").unlink()
    plan = make_plan(Question(**{**vars(question(home)), "models": ("no_change",)}))
    run(plan, folder, Execution(executor="inline", figures=False))
    rows = table(folder).query("model == 'context_transfer'")
    assert set(rows["status"]) == {"failed"}
    assert rows["value"].isna().all()
    assert rows["reason"].str.contains("--resume").all()


def test_disk_need_is_said(home, tmp_path):
    said = []
    plan = make_plan(question(home))
    run(plan, tmp_path / "run", Execution(executor="inline", figures=False), said.append)
    (started,) = (event for event in said if isinstance(event, RunStarted))
    folder = tmp_path / "run"
    means = sum(path.stat().st_size for path in folder.rglob("means.npy"))
    everything = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert means < started.disk < everything
    sets = [entry for spec in plan.specs for entry in spec.sets]
    cells = sum(len(c.control_a) for c in plan.splits[0].conditions) * len(sets)
    assert disk_need(plan, sets, keep=True) - disk_need(plan, sets, keep=False) == cells * 60 * 4


def test_fault_of_scoring_is_no_failure_of_the_model(home, tmp_path, monkeypatch):
    def broken(*given):
        raise ZeroDivisionError

    monkeypatch.setattr("benchmarks.execution.unit.summarise_predictions", broken)
    with pytest.raises(ScoringError, match="no_change"):
        go(home, tmp_path / "run")
