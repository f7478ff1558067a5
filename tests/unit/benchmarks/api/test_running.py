"""Runs from a program: cells in memory and models of one's own, with the tables of the command line."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import benchmarks as cb
from benchmarks import registry
from benchmarks.errors import BenchmarkError, DataError, PluginError, UnknownName
from benchmarks.execution.events import UnitStarted
from tests.unit.benchmarks.api.test_evaluation import snapshot

OPTIONS: dict[str, Any] = {
    "context_key": "context",
    "source": "simulated",
    "kind": "cytokine",
    "direction": "n2p",
    "threads": 1,
}


class AddsOne:
    """Adds one to every value."""

    def __init__(self) -> None:
        self.fitted = 0

    def fit(self, train: cb.Train, *, seed: int) -> None:
        self.fitted += 1
        assert train.cells.n_obs

    def predict(self, query: cb.Query) -> cb.Prediction:
        assert self.fitted == 1, "each fold trains a copy"
        return cb.Prediction(query.cells.X.toarray() + 1, unit="cell")


@pytest.fixture(scope="module")
def screen() -> AnnData:
    return cb.toy_screen(24, 48, 40)


@pytest.fixture(scope="module")
def ran(screen: AnnData) -> cb.Result:
    """A run of cells in memory, of a model by name and one as an object."""
    return cb.run(screen, ["linear", AddsOne()], folds=2, **OPTIONS)


def test_cells_in_memory_have_the_scores_of_their_file(
    tmp_path: Path, screen: AnnData, ran: cb.Result, own_cache: Path
) -> None:
    screen.copy().write_h5ad(tmp_path / "screen.h5ad")
    filed = cb.run(tmp_path / "screen.h5ad", "linear", folds=2, executor="process", **OPTIONS)
    named = ["no_change", "train_mean", "linear", "split_half"]
    one, other = (r.scores[r.scores["model"].isin(named)].reset_index(drop=True) for r in (ran, filed))
    pd.testing.assert_frame_equal(one, other)
    assert set(one["source"]) == {"simulated"}
    assert ran.manifest["key"] == filed.manifest["key"]


def test_models_given_as_objects_are_scored(ran: cb.Result) -> None:
    own = ran.scores[ran.scores["model"] == "adds_one"]
    assert set(own["status"]) >= {"ok"}
    assert own[own["status"] == "failed"].empty
    assert own["fold"].nunique() == 2
    assert ran.tables["models"].set_index("model").loc["adds_one", "summary"] == "Adds one to every value."


def test_nothing_is_left_and_cells_are_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: AnnData, own_cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before, events = snapshot(screen), []
    view = screen[:, ::-1]
    cb.run(view, "no_change", watch=events.append, **OPTIONS)
    assert any(isinstance(event, UnitStarted) for event in events)
    assert snapshot(screen) == before
    assert view.is_view
    assert list(scratch.iterdir()) == []
    assert not list(own_cache.rglob("cells/*")), "cells in memory leave nothing in the cache"


@pytest.mark.parametrize("given", [AddsOne, cb.Baseline("adds_one", AddsOne, ("n2p",), "Adds one.", "here")])
def test_classes_and_records_are_models_too(screen: AnnData, given: Any) -> None:
    own = cb.run(screen, [given], folds=1, **OPTIONS).scores.query("model == 'adds_one'")
    assert "ok" in set(own["status"])


def test_a_failing_model_is_rows_with_the_reason(screen: AnnData) -> None:
    class Breaks(AddsOne):
        def predict(self, query: cb.Query) -> cb.Prediction:
            raise RuntimeError("no answer")

    own = cb.run(screen, [Breaks()], folds=1, **OPTIONS).scores.query("model == 'breaks'")
    assert set(own["status"]) == {"failed"}
    assert own["reason"].str.contains("no answer").all()
    assert own["value"].isna().all()


def test_models_given_as_objects_need_this_process(screen: AnnData) -> None:
    with pytest.raises(BenchmarkError, match=r'adds_one.*executor="inline".*`plugins`'):
        cb.run(screen, [AddsOne()], executor="process", **OPTIONS)
    isolated = replace(registry.find("linear"), name="apart", isolated=True, requirements=("numpy==2.0.0",))
    with pytest.raises(BenchmarkError, match="isolated"):
        cb.run(screen, [isolated], **OPTIONS)


def test_names_of_other_models_are_refused(screen: AnnData) -> None:
    taken = cb.Baseline("linear", AddsOne, ("n2p",), "Adds one.", "here")
    with pytest.raises(PluginError, match="linear"):
        cb.run(screen, [taken], **OPTIONS)


def test_what_is_no_model_is_refused(screen: AnnData) -> None:
    with pytest.raises(BenchmarkError, match="fit and predict"):
        cb.run(screen, [object()], **OPTIONS)
    with pytest.raises(BenchmarkError, match="`models` is empty"):
        cb.run(screen, [], **OPTIONS)
    with pytest.raises(UnknownName, match="Did you mean 'linear'"):
        cb.run(screen, ["linaer"], **OPTIONS)


def test_cells_that_cannot_be_used_are_refused(screen: AnnData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`perturbation_key`"):
        cb.run(screen, "linear", perturbation_key="target", **OPTIONS)
    with pytest.raises(DataError, match="does not exist"):
        cb.run(tmp_path / "nowhere.h5ad", "linear", **OPTIONS)
    with pytest.raises(UnknownName, match="suite"):
        cb.run("smok", "linear")


def test_a_suite_is_written_into_a_folder_and_gone_on_with(tmp_path: Path) -> None:
    options: dict[str, Any] = {"direction": "n2p", "threads": 1, "figures": False, "folder": tmp_path / "suite" / "run"}
    first = cb.run("smoke", "no_change", folds=1, **options)
    assert (options["folder"] / "leaderboard.md").is_file()
    assert set(first.scores["source"]) == {"simulated"}
    with pytest.raises(BenchmarkError, match=r"not empty.*resume=True"):
        cb.run("smoke", "linear", folds=1, **options)
    with pytest.raises(BenchmarkError, match="given as an object"):
        cb.run("smoke", [AddsOne()], folds=1, resume=True, **options)
    more = cb.run("smoke", "linear", folds=1, resume=True, **options)
    assert {"linear", "no_change"} <= set(more.scores["model"])
    same = first.scores["model"] == "no_change"
    again = more.scores[more.scores["model"] == "no_change"].reset_index(drop=True)
    np.testing.assert_array_equal(first.scores.loc[same, "value"], again["value"])


def test_resume_needs_a_folder() -> None:
    with pytest.raises(BenchmarkError, match="`folder`"):
        cb.run("smoke", "linear", resume=True)
