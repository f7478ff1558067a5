"""Runs that are stopped, resumed or asked for less: nothing finished is lost, and what is missing is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.errors import StoreError
from benchmarks.execution.collection import run_suites
from benchmarks.execution.events import Event, RunStarted, UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.load_run import reopen
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import Result, run
from benchmarks.tasks.question import Question
from reports import write_reports
from tests.end_to_end import plugins

INLINE = Execution(executor="inline", figures=False)
FOUR = ("knn", "linear")
"""And the three models of every run, of which one takes p2n only."""


MUCH = {"directions": ("n2p", "p2n"), "folds": 2, "seeds": 2}


@pytest.fixture(scope="module")
def much(make_shared) -> Path:
    """Folder of a run of everything that some tests ask less of; nothing may change it."""
    return make_shared("much", lambda folder: resumed(folder / "run", **MUCH)) / "run"


def ask(**changes: object) -> Question:
    return Question(**{"suite": "smoke", "models": FOUR, "directions": ("n2p",), "folds": 2, **changes})


def stop_before(model: str, fold: int = 0) -> Callable[[Event], None]:
    """Press Ctrl-C when a model's training in a fold begins."""

    def watch(event: Event) -> None:
        if isinstance(event, UnitStarted) and (event.spec.record.name, event.spec.fold) == (model, fold):
            raise KeyboardInterrupt

    return watch


def stopped(folder: Path, model: str, fold: int = 0, **changes: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(make_plan(ask(**changes)), folder, INLINE, stop_before(model, fold))


def resumed(folder: Path, **changes: object) -> Result:
    return run(make_plan(ask(**changes)), folder, INLINE)


def tables(folder: Path) -> dict[str, bytes]:
    """Tables and page, but for those that hold seconds."""
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.csv")) if p.name != "costs.csv"}


def board(folder: Path) -> pd.DataFrame:
    rows = pd.read_csv(folder / "leaderboard.csv").query("level == 'suite' and metric == 'pearson_delta'")
    return rows.set_index("model")


@pytest.fixture(scope="session")
def whole(make_shared) -> Path:
    """Folder of one run that was not stopped; nothing may change it."""
    return make_shared("whole", lambda folder: resumed(folder / "run")) / "run"


def test_stopped_run_names_what_is_missing_and_ranks_what_has_run(tmp_path, whole):
    stopped(tmp_path, "linear")
    rows = board(tmp_path)
    assert rows.loc["linear", "status"] == "not_run"
    assert rows.loc[["linear"], ["mean", "rank", "scaled"]].isna().all(axis=None)
    assert rows.loc["linear", ["n_failed", "n_unsupported"]].tolist() == [0, 0]
    assert rows.loc[["knn", "train_mean"], "mean"].notna().all()
    scores = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    waiting = scores[scores["status"] == "not_run"]
    # fold 0 of linear, and fold 1 of all models that take n2p
    assert len(waiting[["fold", "model"]].drop_duplicates()) == 1 + 4
    page = (tmp_path / "leaderboard.md").read_text()
    assert page.startswith("# Leaderboard (INCOMPLETE)\n\n**INCOMPLETE: 5 of 10 ")
    assert "n2p: `linear` has not run at all" in page
    assert "n2p, fold 1, seed 0: `knn`, `no_change`, `train_mean`" in page
    assert page.count("INCOMPLETE run") == 1, "in the task's title"
    assert json.loads((tmp_path / "manifest.json").read_text())["state"] == "stopped"
    resumed(tmp_path)
    assert tables(tmp_path) == tables(whole)
    assert "INCOMPLETE" not in (tmp_path / "leaderboard.md").read_text()


def test_conditions_that_some_model_has_still_to_run_are_left_out_for_all(tmp_path, whole):
    stopped(tmp_path, "linear", fold=1)
    rows, scores = board(tmp_path), pd.read_csv(whole / "scores.csv").query("metric == 'pearson_delta' and fold == 0")
    first = scores.groupby(["model", "context"])["value"].mean().groupby("model").mean()
    for model in ("knn", "linear", "no_change", "ceiling"):
        assert rows.loc[model, "mean"] == pytest.approx(first[model], abs=1e-5), model
    assert rows.loc[["knn", "linear"], "rank"].notna().all()
    assert set(rows["n_left_out"]) == {len(scores.query("model == 'linear'"))}


LESS = ({"folds": 1}, {"directions": ("n2p",)}, {"seeds": 1})


@pytest.mark.parametrize(
    "less",
    [
        {"models": ("linear",)},
        {"models": ("train_mean",)},
        {"folds": 1, "directions": ("n2p",), "seeds": 1},
        *(pytest.param(less, marks=pytest.mark.slow) for less in LESS),
    ],
    ids=str,
)
def test_resume_of_less_changes_no_table(tmp_path, much, less):
    shutil.copytree(much, tmp_path, dirs_exist_ok=True)
    before, question = tables(tmp_path), json.loads((tmp_path / "manifest.json").read_text())["question"]
    resumed(tmp_path, **(MUCH | less))
    assert tables(tmp_path) == before
    after = json.loads((tmp_path / "manifest.json").read_text())["question"]
    assert after == question | {"models": after["models"]}
    assert set(after["models"]) == {*FOUR, *less.get("models", ())}
    assert set(reopen(tmp_path).directions) >= set(FOUR)


def test_resume_with_another_model_adds_it(tmp_path):
    resumed(tmp_path, models=("linear",), folds=1)
    before, seen = board(tmp_path), []
    run(make_plan(ask(models=("knn",), folds=1)), tmp_path, INLINE, seen.append)
    (began,) = [event for event in seen if isinstance(event, RunStarted)]
    assert began.kept == ("linear",)
    assert len(began.specs) == 1
    after = board(tmp_path)
    assert set(after.index) == {*before.index, "knn"}
    assert after.loc["linear", "mean"] == before.loc["linear", "mean"]
    assert set(pd.read_csv(tmp_path / "models.csv")["model"]) >= {"knn", "linear"}


def test_more_folds_of_one_model_leave_the_board_incomplete(tmp_path):
    resumed(tmp_path, folds=1)
    before = board(tmp_path)
    resumed(tmp_path, models=("linear",), folds=2)
    after = board(tmp_path)
    assert after.loc[["knn", "linear"], "mean"].tolist() == before.loc[["knn", "linear"], "mean"].tolist()
    assert after.loc[["knn", "linear"], "n_not_run"].gt(0).tolist() == [True, False]
    assert "n2p, fold 1, seed 0: `knn`" in (tmp_path / "leaderboard.md").read_text()


def test_a_model_whose_plugin_is_not_named_stays_and_its_file_is_not_needed(tmp_path):
    path = plugins.write(tmp_path, "good")
    resumed(tmp_path / "run", models=("good",), plugins=(path,), folds=1)
    before = board(tmp_path / "run")
    path.unlink()
    resumed(tmp_path / "run", models=("linear",), folds=1)
    after = board(tmp_path / "run")
    assert after.loc["good", "mean"] == before.loc["good", "mean"]
    kept = json.loads((tmp_path / "run" / "manifest.json").read_text())["models"]["good"]
    assert kept["record"]["summary"] == "a test plugin"
    assert kept["budget"] == "full"


def test_predictions_of_other_settings_have_not_run(tmp_path, whole):
    """A mean of two folds is never of two settings."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    stopped(tmp_path, "linear", fold=1, settings={"linear": {"ridge": 7.0}})
    scores = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False).query("model == 'linear'")
    assert scores.groupby("fold")["status"].agg(set).map(lambda found: "not_run" in found).tolist() == [False, True]
    resumed(tmp_path, folds=1, settings={"linear": {"ridge": 3.0}})
    scores = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False).query("model == 'linear'")
    assert set(scores.query("fold == 1")["status"]) == {"not_run"}


def test_failures_of_models_that_are_not_asked_now_are_not_counted(tmp_path):
    path = plugins.write(tmp_path, "raises_in_fit")
    assert resumed(tmp_path / "run", models=("raises_in_fit",), plugins=(path,), folds=1).failures == 9
    assert resumed(tmp_path / "run", models=("linear",), folds=1).failures == 0
    row = board(tmp_path / "run").loc["raises_in_fit"]
    assert (row["status"], row["n_failed"]) == ("failed", 9)
    assert pd.isna(row["rank"])
    assert pd.isna(row["mean"])


def test_damaged_manifest_is_refused(tmp_path):
    resumed(tmp_path, models=("train_mean",), folds=1)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    for broken in (
        {"models": ["linear"]},
        {"question": 3},
        {"splits": 1},
        {"models": {"a": {"record": {}, "seeds": "x"}}},
    ):
        path.write_text(json.dumps(manifest | broken))
        with pytest.raises(StoreError, match=r"manifest\.json is damaged"):
            resumed(tmp_path, models=("train_mean",), folds=1)


def test_pictures_that_are_not_drawn_now_are_removed(whole, tmp_path):
    for name, data in tables(whole).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "costs.csv").write_bytes((whole / "costs.csv").read_bytes())
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "ranking-of-another-task.png").touch()
    drawn = write_reports(tmp_path, n_boot=10)
    there = set((tmp_path / "figures").iterdir())
    assert there == {path for path in drawn if path.parent.name == "figures"}
    assert "](figures/" in (tmp_path / "leaderboard.md").read_text()
    write_reports(tmp_path, n_boot=10, figures=False)
    assert not (tmp_path / "figures").exists()
    assert "](figures/" not in (tmp_path / "leaderboard.md").read_text()


def test_stopped_collection_says_which_suites_are_missing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_suites(("smoke", "grid"), ask(folds=1), tmp_path, INLINE, stop_before("linear"))
    page = tmp_path / "all" / "latest" / "index.md"
    assert "**INCOMPLETE:** 2 of 2 suites" in page.read_text()
    assert "[Leaderboard so far](smoke/leaderboard.md)" in page.read_text()
    assert set(pd.read_csv(page.with_name("summary.csv"))["suite"]) == {"smoke"}
