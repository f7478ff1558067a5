"""Plugins that cheat: each is found out, or gains nothing; no honest model is accused."""

from __future__ import annotations

import builtins
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import confinement, registry
from benchmarks.cli.app import application
from benchmarks.cli.console import EXIT_FAILED
from benchmarks.conformance import leaks
from benchmarks.conformance.checks import Screen
from benchmarks.contract import Prediction
from benchmarks.data.download import cache_dir
from benchmarks.errors import PluginError
from benchmarks.execution import prediction_store
from benchmarks.execution.events import StageStarted, UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.prediction_store import get_outcome
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question
from tests.cheaters import plugins as cheaters
from tests.end_to_end import plugins

HARMLESS = ("reads_files", "walks_memory", "patches_the_scorer")
"""Tricks that find nothing in a child process: the score is the honest one."""
BY_PROOF = (
    "remembers_in_module",
    "remembers_on_class",
    "remembers_in_environment",
    "remembers_in_tmp",
    "uses_the_order",
)
"""Tricks that the process of their own for each direction makes harmless, and that the proof finds all the same."""
CONFINED = ("remembers_in_home", "remembers_beside_itself", "overwrites_predictions")
"""Tricks that need to write outside of the unit's folder."""
PROVING = Execution(figures=False, prove=True)


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv", keep_default_na=False, na_values={"value": [""]})


@pytest.fixture(scope="module")
def cheated(make_shared) -> Path:
    """Folder of one run of all cheaters, with the proof."""

    def fill(folder: Path) -> None:
        (folder / "plugins").mkdir()
        found = cheaters.cheaters(folder / "run", cache_dir())
        files = tuple(cheaters.write(folder / "plugins", name, parts) for name, parts in found.items())
        question = Question(suite="smoke", models=tuple(found), plugins=files)
        run(make_plan(question), folder / "run", PROVING)

    return make_shared("cheated", fill) / "run"


def rows_of(folder: Path, model: str, direction: str) -> pd.DataFrame:
    return scores(folder).query("model == @model and direction == @direction and kind == 'model'")


@pytest.mark.parametrize("name", [*HARMLESS, *CONFINED])
def test_tricks_that_find_nothing_score_as_no_change(cheated, name):
    if name in CONFINED and not confinement.version():
        pytest.skip("this kernel has no Landlock")
    for direction in ("n2p", "p2n"):
        own, honest = (rows_of(cheated, model, direction) for model in (name, "no_change"))
        assert set(own["audit"]) == {"proved"}
        assert_alike(own, honest)


def test_tricks_work_where_nothing_stops_them_and_are_found_all_the_same(tmp_path):
    """An inline model is not confined: it reads the cache, and overwrites what stays of others' predictions."""
    found = cheaters.cheaters(tmp_path / "run", cache_dir())
    names = ("reads_files", "overwrites_predictions")
    files = tuple(cheaters.write(tmp_path, name, found[name]) for name in names)
    question = Question(suite="smoke", models=names, plugins=files, directions=("n2p",))
    folder = run(make_plan(question), tmp_path / "run", replace(PROVING, executor="inline")).folder
    own = rows_of(folder, "reads_files", "n2p")
    assert own["audit"].str.startswith("leak: ").all(), own["audit"].unique()
    assert own["value"].isna().all()
    victim = rows_of(folder, "train_mean", "n2p")
    assert set(victim["status"]) == {"failed"}
    assert victim["reason"].str.contains("changed after it was written").all()


def assert_alike(own: pd.DataFrame, honest: pd.DataFrame) -> None:
    """Compare scores of dense cells with those of the same cells, sparse: components are summed in another order."""
    np.testing.assert_allclose(own["value"].to_numpy(), honest["value"].to_numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", BY_PROOF)
def test_state_across_questions_is_a_leak_and_has_no_value(cheated, name):
    own = rows_of(cheated, name, "p2n")
    assert own["audit"].str.startswith("leak: ").all()
    assert set(own["status"]) == {"failed"}
    assert own["value"].isna().all()
    assert own["reason"].str.startswith("leak: ").all()


def test_leak_is_marked_on_the_page(cheated):
    page = (cheated / "leaderboard.md").read_text()
    assert "leak: predictions change" in page


def test_shared_memory_is_found_by_the_proof(cheated):
    """The one place outside of its folder that a confined process can write to."""
    assert rows_of(cheated, "remembers_in_shared_memory", "p2n")["audit"].str.startswith("leak: ").all()
    for path in Path("/dev/shm").glob("stash-*.npy"):
        path.unlink()


def test_honest_models_beside_cheaters_are_proved(cheated):
    table = scores(cheated)
    for model in ("no_change", "train_mean"):
        assert set(table.loc[table["model"] == model, "audit"]) == {"proved"}


def test_result_of_a_proof_is_kept(cheated, tmp_path, monkeypatch):
    """Resuming a run with leaks trains nothing."""
    folder = shutil.copytree(cheated, tmp_path / "run")
    monkeypatch.setattr("benchmarks.execution.unit.prove", lambda *given: pytest.fail("proved again"))
    found = sorted((cheated.parent / "plugins").glob("*.py"))
    question = Question(suite="smoke", models=tuple(path.stem for path in found), plugins=tuple(found))
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("outcome.json")}
    result = run(make_plan(question), folder, PROVING)
    assert result.failures > 0
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("outcome.json")} == before


STEALS = """
gc.collect()
first = query.cells.obs_names[0]
wanted = "control" if query.direction == "p2n" else query.perturbation
for cells in (a for a in gc.get_objects() if isinstance(a, AnnData) and a.n_obs > len(self.names)):
    obs = cells.obs
    if first not in obs.index or cells.X.shape[1] != values.shape[1] or abs(cells[first].X.toarray() - values[0]).max() > 0:
        continue  # another data set, or counts
    own = ((obs["context"] == query.context) & (obs["perturbation"] == wanted)).to_numpy()
    own &= ~obs.index.isin(list(self.names))
    if own.any():
        x = cells.X[own].toarray()
        if "HOW" == "cells":
            return Prediction(x, unit="cell")
        if query.direction == "n2p":
            return Prediction(x.mean(axis=0, keepdims=True, dtype="float64"), unit="mean")
"""


@pytest.fixture(scope="module")
def stolen(make_shared) -> Path:
    """Folder of one run of inline models that answer with hidden cells, or with their mean."""

    def fill(folder: Path) -> None:
        files = [
            cheaters.write(folder, f"steals_{how}", ("", "pass", STEALS.replace("HOW", how)))
            for how in ("cells", "mean")
        ]
        options = ["--suite", "smoke", "--models", "steals_cells,steals_mean", "--direction", "n2p", "--no-figures"]
        options += ["--executor", "inline", "--out", str(folder)]
        options += [word for path in files for word in ("--plugin", str(path))]
        # a process of its own, in which no other test has left cells
        done = subprocess.run([sys.executable, "-m", "benchmarks.run", *options], capture_output=True, check=False)
        assert done.returncode == EXIT_FAILED, done.stderr

    return next(make_shared("stolen", fill).glob("smoke/*/"))


@pytest.mark.parametrize("how", ["cells", "mean"])
def test_hidden_cells_in_predictions_are_found(stolen, how):
    """An inline model has all cells within reach; its rows are compared with the hidden ones."""
    own = rows_of(stolen, f"steals_{how}", "n2p")
    assert own["audit"].str.startswith("leak: ").all(), own["audit"].unique()
    assert own["value"].isna().all()


def test_walking_memory_in_the_isolated_environment_finds_nothing(tmp_path):
    path = cheaters.write(
        tmp_path, "walks_memory", cheaters.cheaters(tmp_path, cache_dir())["walks_memory"], isolated=True
    )
    plugins.link(registry.from_file(path)[0])
    result = run(
        make_plan(Question(suite="smoke", models=("walks_memory",), plugins=(path,))), tmp_path / "run", PROVING
    )
    for direction in ("n2p", "p2n"):
        own, honest = (rows_of(result.folder, model, direction) for model in ("walks_memory", "no_change"))
        assert set(own["audit"]) == {"proved"}
        assert_alike(own, honest)


def changed(folder: Path, number: int) -> None:
    """Overwrite a stored prediction with another valid one."""
    there = prediction_store.get_prediction(folder, number)
    prediction_store.put_prediction(folder, number, Prediction(there.dense() + 1, unit=there.unit))


LINEAR = Question(suite="smoke", models=("linear",), directions=("n2p",))
QUIET = Execution(figures=False)
KEEPING = Execution(figures=False, keep_predictions=True)


@pytest.fixture(scope="module")
def linear(make_shared) -> Path:
    """Folder of one run of `LINEAR`; nothing may change it."""
    return make_shared("linear", lambda folder: run(make_plan(LINEAR), folder / "run", KEEPING)) / "run"


@pytest.mark.parametrize("damage", ["changed", "truncated", "removed"])
def test_changed_prediction_is_made_anew(linear, tmp_path, damage):
    folder = shutil.copytree(linear, tmp_path / "run")
    before, own = scores(folder), folder / "predictions" / "linear" / "n2p-unseen_context-fold0-seed0"
    path = prediction_store.prediction_path(own, 0)
    if damage == "changed":
        changed(own, 0)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        path.unlink()
    trained: list[str] = []

    def watch(event: object) -> None:
        trained.extend([event.spec.record.name] if isinstance(event, UnitStarted) else [])

    assert run(make_plan(LINEAR), folder, KEEPING, watch).failures == 0
    assert trained == ["linear"]
    pd.testing.assert_frame_equal(scores(folder), before)


@pytest.mark.parametrize("forged", ["outcome", "mean profiles", "other model"])
def test_records_are_kept_in_memory_while_a_run_goes(tmp_path, forged):
    """What is written into the run's folder from outside while models train does not count."""
    folder = tmp_path / "run"

    def meddle(event: object) -> None:
        own = folder / "predictions" / "train_mean" / "n2p-unseen_context-fold0-seed0"
        if not isinstance(event, UnitStarted) or not (own / "outcome.json").is_file():
            return
        if forged == "outcome":
            (own / "outcome.json").write_text("{}")
        elif forged == "mean profiles":
            np.save(own / "means.npy", np.load(own / "means.npy") + 1)
        else:
            shutil.copytree(own, own.parent / "n2p-unseen_context-fold9-seed0", dirs_exist_ok=True)

    result = run(make_plan(LINEAR), folder, QUIET, meddle)
    table = rows_of(folder, "train_mean", "n2p")
    reasons = table.loc[table["status"] == "failed", "reason"]
    assert reasons.str.contains("changed after it was written").all()
    assert result.failures == (9 if forged == "mean profiles" else 0)
    assert (set(table["status"]) & {"failed"} == {"failed"}) == (forged == "mean profiles")
    outcomes = sorted(path.parent.name for path in folder.rglob("train_mean/*/outcome.json"))
    assert outcomes == ["n2p-unseen_context-fold0-seed0"]
    assert get_outcome(folder / "predictions" / "train_mean" / outcomes[0]) is not None


def test_changed_saved_model_is_trained_again(tmp_path):
    text = """
def save(self, folder): (folder / "x.txt").write_text("1")
def load(self, folder): self.kept["x"] = (folder / "x.txt").read_text()
"""
    path = cheaters.write(tmp_path, "saves", ("", "pass", "pass"))
    source = path.read_text().replace("\nBASELINE", "    " + text.strip().replace("\n", "\n    ") + "\n\nBASELINE")
    path.write_text(source)
    question = Question(suite="smoke", models=("saves",), plugins=(path,))
    stages: list[str] = []

    def watch(event: object) -> None:
        stages.extend([event.stage] if isinstance(event, StageStarted) else [])

    folder = run(make_plan(question), tmp_path / "run", QUIET, watch).folder
    fits = stages.count("fit")
    (saved,) = (path for path in (folder / "fitted").iterdir() if path.is_dir())
    for change, trained in ((lambda: None, 0), (lambda: (saved / "x.txt").write_text("2"), 1)):
        shutil.rmtree(folder / "predictions" / "saves")
        change()
        stages.clear()
        run(make_plan(question), folder, QUIET, watch)
        assert stages.count("fit") == trained
    assert fits == 1 + 3 * 2 - 1, (
        "one for the saved model, one each for both directions of no_change and train_mean, one p2n"
    )


def test_what_a_plugin_does_on_import_stays_in_a_child(tmp_path, capfd):
    path = cheaters.write(tmp_path, "loud", ("import builtins; builtins.loud = 1; print('{}')", "pass", "pass"))
    (record,) = registry.from_file(path)
    assert record.directions == ("n2p", "p2n")
    assert not hasattr(builtins, "loud")
    assert "_cycseq_plugin_loud" not in sys.modules
    assert capfd.readouterr().out == ""
    (tmp_path / "quits.py").write_text("raise SystemExit('no')")
    with pytest.raises(PluginError, match="SystemExit: no"):
        registry.from_file(tmp_path / "quits.py")
    (tmp_path / "dies.py").write_text("import os; os._exit(3)")
    with pytest.raises(PluginError, match="exit code 3"):
        registry.from_file(tmp_path / "dies.py")


@pytest.mark.parametrize("name", BY_PROOF)
def test_check_finds_state_across_questions(screen: Screen, tmp_path, name):
    path = cheaters.write(tmp_path, name, cheaters.cheaters(tmp_path, cache_dir())[name])
    assert "leak: " in leaks.check_leaks(registry.from_file(path)[0], screen).problem


def test_command_names_the_leak(tmp_path):
    path = cheaters.write(tmp_path, "remembers", cheaters.cheaters(tmp_path, tmp_path)["remembers_in_module"])
    done = CliRunner().invoke(application("check"), [str(path)])
    assert done.exit_code == 1
    assert "leaks_nothing: p2n: leak: " in " ".join(done.output.split())


def test_model_that_does_not_repeat_itself_is_not_proved(screen: Screen, tmp_path):
    parts = ("", "self.shift = np.random.default_rng().normal()", "values = values + self.shift")
    (record,) = registry.from_file(cheaters.write(tmp_path, "loose", parts))
    assert "not proved: two trainings" in leaks.check_leaks(record, screen).problem


RECORDS = {**registry.available(), "_template": registry.from_file(registry.TEMPLATE)[0]}
TRAININGS = {record.training: name for name, record in RECORDS.items() if not record.settings and not record.isolated}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if RECORDS[n].full_training else ()) for n in sorted(TRAININGS.values())],
)
def test_no_honest_model_is_accused(name: str, screen: Screen) -> None:
    assert leaks.check_leaks(RECORDS[name], screen).problem == ""
