"""Runs of the same question, merged: the tables of one run that did all; what does not belong together is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.data.download import sha256_of
from benchmarks.data.own_file import OwnFile
from benchmarks.data.store import checked_arrays
from benchmarks.data.store.checked_json import from_bytes, to_bytes
from benchmarks.errors import StoreError
from benchmarks.execution.events import RunStarted, UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.load_run import reopen
from benchmarks.execution.merge import merge
from benchmarks.execution.plan import make_plan
from benchmarks.execution.prediction_store import get_outcome, put_outcome
from benchmarks.execution.runner import run
from benchmarks.execution.score_store import VALUES, read_scores
from benchmarks.tasks.question import Question
from tests.faults.processes import tables, write_screen

QUIET = Execution(executor="inline", figures=False)


def question(home: Path, *models: str, **changes: object) -> Question:
    own = OwnFile(home / "screen.h5ad", context="line", source="simulated")
    return replace(Question(suite="", own=own, models=models, folds=1), **changes)


@pytest.fixture(scope="session")
def runs(make_shared: Callable[..., Path]) -> Path:
    """One run that did all (`whole`), and runs that did parts of it: other models, more seeds, more folds, one direction."""

    def fill(home: Path) -> None:
        write_screen(home / "screen.h5ad", perturbations=3, genes=40)
        asked = {
            "whole": question(home, "linear", "knn", seeds=2, folds=2),
            "linear": question(home, "linear", seeds=2, folds=1),
            "knn": question(home, "knn", seeds=2, folds=2, directions=("p2n",)),
            "more": question(home, "knn", "linear", seeds=2, folds=2, directions=("n2p",)),
            "linear_p2n": question(home, "linear", seeds=2, folds=2, directions=("p2n",)),
            "other_seed": question(home, "knn", base_seed=1, directions=("p2n",)),
            "settings": question(home, "knn", settings={"knn": {"n_neighbours": 1}}, directions=("p2n",)),
        }
        for name, one in asked.items():
            run(make_plan(one), home / name, QUIET)

    return make_shared("merge", fill)


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: shutil.copytree(runs / name, tmp_path / f"{name}-copy")


def test_merged_parts_have_the_tables_of_one_run(runs: Path, tmp_path: Path) -> None:
    parts = [runs / name for name in ("linear", "knn", "more", "linear_p2n")]
    result = merge(parts, tmp_path / "merged", figures=False)
    assert result.complete
    assert result.failures == 0
    assert tables(tmp_path / "merged") == tables(runs / "whole")
    for name in ("leaderboard.md", "notes.json"):
        same = (tmp_path / "merged" / name).read_text(), (runs / "whole" / name).read_text()
        assert [line for line in same[0].splitlines() if " s |" not in line] == [
            line for line in same[1].splitlines() if " s |" not in line
        ], "lines without times"


def test_what_no_run_has_is_not_run_and_a_resumed_run_adds_it(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "merged"
    result = merge([runs / "linear", runs / "knn"], folder, figures=False)
    assert not result.complete
    left = pd.read_csv(folder / "scores.csv").query("status == 'not_run'")
    assert set(left["model"]) <= {"knn", "linear", "no_change", "train_mean"}
    trained: list[str] = []

    def watch(event: object) -> None:
        trained.extend([event.spec.name] if isinstance(event, UnitStarted) else [])

    run(make_plan(question(runs, "linear", "knn", seeds=2, folds=2)), folder, QUIET, watch)
    assert trained
    assert not any(name.startswith("knn (p2n)") for name in trained), "that was there"
    assert tables(folder) == tables(runs / "whole")


def test_a_merged_run_can_be_reopened_and_merged_again(runs: Path, tmp_path: Path) -> None:
    merge([runs / "linear", runs / "knn"], tmp_path / "one", figures=False)
    merge([tmp_path / "one", runs / "more", runs / "linear_p2n"], tmp_path / "two", figures=False)
    assert tables(tmp_path / "two") == tables(runs / "whole")
    assert set(reopen(tmp_path / "two").directions) >= {"linear", "knn"}


@pytest.mark.parametrize(("other", "named"), [("other_seed", "base_seed is 0 and 1"), ("settings", "n_neighbours")])
def test_other_questions_and_settings_are_refused_by_name(runs: Path, tmp_path: Path, other: str, named: str) -> None:
    with pytest.raises(StoreError, match=named):
        merge([runs / "knn", runs / other], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def change_values(folder: Path, add: float) -> str:
    """Add to the first metric of the first condition of a set, and write the digests that belong to it; returns the metric."""
    outcome = get_outcome(folder)
    assert outcome is not None
    values = dict(read_scores(folder, outcome))
    name = next(iter(values))
    changed = values[name].values.copy()
    changed[0] += add
    checked_arrays.put(folder / VALUES, values | {name: replace(values[name], values=changed)})
    put_outcome(folder, replace(outcome, values=sha256_of(folder / VALUES)))
    return name


def test_sets_that_two_runs_have_must_agree(runs: Path, copied: Callable[[str], Path], tmp_path: Path) -> None:
    again = copied("knn")
    place = next((again / "predictions" / "knn").iterdir())
    change_values(place, 1e-12)
    merge([runs / "knn", again], tmp_path / "rounded", figures=False)
    assert tables(tmp_path / "rounded") == tables(runs / "knn"), "the first run counts"
    name = change_values(place, 0.01)
    with pytest.raises(StoreError, match=rf"knn.*different results: {name} of "):
        merge([runs / "knn", again], tmp_path / "merged", figures=False)


def test_scores_of_other_code_and_damaged_ones_are_refused(copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied("knn")
    place = next((folder / "predictions" / "knn").iterdir())
    outcome = from_bytes((place / "outcome.json").read_bytes())
    (place / "outcome.json").write_bytes(to_bytes(outcome | {"code": "0" * 64}))
    with pytest.raises(StoreError, match=r"another version of the metrics \(0{12}\)"):
        merge([folder], tmp_path / "merged")
    (place / "outcome.json").write_bytes(to_bytes(outcome))
    content = bytearray((place / VALUES).read_bytes())
    content[len(content) // 2] ^= 1
    (place / VALUES).write_bytes(content)
    with pytest.raises(StoreError, match=r"values\.npz was changed"):
        merge([folder], tmp_path / "merged")


def test_a_failure_in_one_run_and_a_result_in_another_is_a_conflict(
    runs: Path, copied: Callable[[str], Path], tmp_path: Path
) -> None:
    again = copied("knn")
    place = next((again / "predictions" / "knn").iterdir())
    outcome = get_outcome(place)
    assert outcome is not None
    ended = replace(outcome.endings[0], status="failed", reason="out of memory")
    put_outcome(place, replace(outcome, endings=(ended, *outcome.endings[1:])))
    with pytest.raises(StoreError, match=r"ok .*failed \(out of memory\)"):
        merge([runs / "knn", again], tmp_path / "merged")


def test_a_model_that_could_not_be_tried_is_taken_from_the_run_that_could(
    runs: Path, copied: Callable[[str], Path], tmp_path: Path
) -> None:
    again = copied("knn")
    for place in (again / "predictions" / "knn").iterdir():
        outcome = get_outcome(place)
        assert outcome is not None
        endings = tuple(replace(e, status="unsupported", reason="left out") for e in outcome.endings)
        put_outcome(place, replace(outcome, key="", endings=endings, values="", means="", code=""))
    merge([again, runs / "knn"], tmp_path / "merged", figures=False)
    assert tables(tmp_path / "merged") == tables(runs / "knn")


def test_a_folder_that_is_not_empty_and_one_without_a_run_are_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(StoreError, match="not empty"):
        merge([runs / "knn"], tmp_path / "full")
    with pytest.raises(StoreError, match=r"no manifest\.json"):
        merge([tmp_path / "full"], tmp_path / "merged")


def test_nothing_is_trained(runs: Path, tmp_path: Path) -> None:
    events: list[object] = []
    merge([runs / "knn"], tmp_path / "merged", events.append, figures=False)
    assert not any(isinstance(event, UnitStarted) for event in events)
    assert [len(event.specs) for event in events if isinstance(event, RunStarted)] == [0]
