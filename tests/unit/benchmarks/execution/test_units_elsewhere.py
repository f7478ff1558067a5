"""Units in processes that have only the run's folder: plan, units and collect, and the executors of clusters."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.data.own_file import OwnFile
from benchmarks.data.store.checked_json import from_bytes, to_bytes
from benchmarks.errors import BenchmarkError, StoreError
from benchmarks.execution.events import Event, StageStarted, UnitEnded, UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import collect, plan_units, run
from benchmarks.execution.unit_list import FILE, read_units
from benchmarks.execution.worker import do_unit
from benchmarks.tasks.question import Question
from tests.end_to_end import plugins
from tests.faults.processes import tables, write_screen

SIMPLE = Execution(figures=False)


@pytest.fixture(scope="session")
def whole(make_shared: Callable[..., Path]) -> Path:
    """Folder with a small screen and a run of it in which nothing is shared; nothing may change it."""

    def fill(folder: Path) -> None:
        write_screen(folder / "screen.h5ad", perturbations=3, genes=40)
        run(plan_of(folder), folder / "runs" / "suite" / "run", SIMPLE)

    return make_shared("elsewhere", fill)


def plan_of(whole: Path) -> Plan:
    own = OwnFile(whole / "screen.h5ad", context="line")
    return make_plan(Question(suite="", own=own, models=("no_change", "linear"), directions=("n2p",)))


def expected(whole: Path) -> dict[str, bytes]:
    return tables(whole / "runs" / "suite" / "run")


def planned(whole: Path, folder: Path) -> Path:
    plan_units(plan_of(whole), folder / "suite" / "run", SIMPLE)
    return folder / "suite" / "run"


def outcomes(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("predictions/**/*.*")}


def test_units_in_any_order_and_twice_give_the_tables_of_a_run(whole: Path, tmp_path: Path) -> None:
    folder = planned(whole, tmp_path)
    units = read_units(folder).units
    assert [set(unit.models) for unit in units] == [{"no_change"}, {"train_mean"}, {"linear"}]
    last = len(units) - 1
    do_unit(folder, last)
    result = collect(folder, figures=False)
    assert not result.complete
    assert list(result.left) == list(range(last))
    page = (folder / "leaderboard.md").read_text()
    assert page.startswith("# Leaderboard (INCOMPLETE)")
    assert set(pd.read_csv(folder / "scores.csv").query("status == 'not_run'")["model"]) == {"no_change", "train_mean"}
    before, begun = outcomes(folder), list[Event]()
    two = [threading.Thread(target=do_unit, args=(folder, 0, begun.append)) for _ in range(2)]
    for thread in two:
        thread.start()
    do_unit(folder, 1)
    for thread in two:
        thread.join()
    assert sum(isinstance(event, StageStarted) and event.stage == "fit" for event in begun) == 1
    do_unit(folder, last)
    assert before.items() <= outcomes(folder).items(), "a unit that is done is not done again"
    assert collect(folder, figures=False).complete
    assert tables(folder) == expected(whole)
    assert json.loads((folder / "manifest.json").read_text())["state"] == "complete"


def test_what_is_no_unit_of_this_plan_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = planned(whole, tmp_path)
    content = from_bytes((folder / FILE).read_bytes())

    def change(**changes: object) -> None:
        (folder / FILE).write_bytes(to_bytes(content | changes))

    for number in (-1, 3):
        with pytest.raises(StoreError, match="0 to 2"):
            do_unit(folder, number)
    for work in (lambda place: do_unit(place, 0), collect):
        with pytest.raises(StoreError, match=FILE):
            work(tmp_path)
    change(code=content["code"] | {"numpy": "0.1", "code": "other"})
    for work in (lambda place: do_unit(place, 0), collect):
        with pytest.raises(StoreError, match=r"numpy \(0\.1"):
            work(folder)
    change(key="of other data")
    with pytest.raises(StoreError, match="--data-dir"):
        do_unit(folder, 0)
    change(units=[unit | {"key": "of other settings"} for unit in content["units"]])
    with pytest.raises(StoreError, match="other data or settings"):
        do_unit(folder, 0)
    (folder / FILE).write_bytes((folder / FILE).read_bytes().replace(b"n2p", b"p2n", 1))
    with pytest.raises(StoreError, match="damaged"):
        do_unit(folder, 0)
    assert not outcomes(folder)


def test_plugins_of_a_folder_run_only_where_they_are_given(whole: Path, tmp_path: Path) -> None:
    path, folder = plugins.write(tmp_path, "good"), tmp_path / "suite" / "run"
    asked = replace(plan_of(whole).question, models=("good",), plugins=(path,))
    (unit,) = [u for u in plan_units(make_plan(asked), folder, SIMPLE).units if u.models == ("good",)]
    number = read_units(folder, (path,)).numbers[unit.key]
    for work in (lambda: do_unit(folder, number), lambda: collect(folder)):
        with pytest.raises(StoreError, match="--plugin"):
            work()
    assert {ending.status for ending in do_unit(folder, number, plugins=(path,)).endings} == {"ok"}
    path.write_text(path.read_text() + "# changed")
    with pytest.raises(StoreError, match="another version"):
        do_unit(folder, number, plugins=(path,))


def test_units_keep_their_numbers_when_a_folder_is_planned_again(whole: Path, tmp_path: Path) -> None:
    folder, plan = planned(whole, tmp_path), plan_of(whole)
    first = [unit.name for unit in read_units(folder).units]
    do_unit(folder, 1)
    more = make_plan(replace(plan.question, models=("knn", "linear")))
    again = [unit.name for unit in plan_units(more, folder, SIMPLE).units]
    assert again[: len(first)] == first
    assert [name.split()[0] for name in again[len(first) :]] == ["knn"]
    with pytest.raises(StoreError, match="other data, splits or settings"):
        plan_units(make_plan(replace(plan.question, base_seed=1)), folder, SIMPLE)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # dask-jobqueue leaves its jobs' output open
@pytest.mark.parametrize("text", ["", 'class = "LocalCluster"\ncores = 1\nmemory = "1GB"\n'], ids=["own", "jobqueue"])
def test_dask_gives_the_tables_of_process(whole: Path, tmp_path: Path, text: str) -> None:
    pytest.importorskip("dask_jobqueue" if text else "distributed")
    (tmp_path / "cluster.toml").write_text(text)
    seen, folder = list[Event](), tmp_path / "suite" / "run"
    file = tmp_path / "cluster.toml" if text else None
    run(plan_of(whole), folder, replace(SIMPLE, executor="dask", jobs=2, cluster_file=file), seen.append)
    assert tables(folder) == expected(whole)
    for kind in (UnitStarted, UnitEnded):
        assert sorted(e.spec.record.name for e in seen if isinstance(e, kind)) == ["linear", "no_change", "train_mean"]


def test_jobs_of_submitit_give_the_tables_of_process(whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    file, folder = tmp_path / "cluster.toml", tmp_path / "suite" / "run"
    file.write_text('cluster = "local"\ntimeout_min = 10\n[models.linear]\ntimeout_min = 20\n')
    seen = list[Event]()
    run(plan_of(whole), folder, replace(SIMPLE, executor="slurm", cluster_file=file), seen.append)
    assert tables(folder) == expected(whole)
    assert len(list((folder / "jobs").glob("*_result.pkl"))) == 2, "two units share a job, linear has its own"
    assert sum(isinstance(event, UnitEnded) for event in seen) == 3


@pytest.mark.parametrize(
    ("changes", "text", "expects"),
    [
        ({"executor": "process", "scheduler": "tcp://127.0.0.1:9"}, "", "--scheduler"),
        ({"executor": "inline", "bundle": 2}, "", "--bundle"),
        ({"executor": "dask", "scheduler": "127.0.0.1"}, "", "dask scheduler"),
        ({"executor": "dask", "scheduler": "tcp://127.0.0.1:1"}, "", "dask scheduler"),
        ({"executor": "dask", "scheduler": ""}, "", "--scheduler"),
        ({"executor": "dask"}, 'class = "Cluster"', "SLURMCluster"),
        ({"executor": "dask"}, 'class = "SLURMCluster"', "sbatch"),
        ({"executor": "dask"}, "class = ", "cannot be read"),
        ({"executor": "slurm"}, 'partition = "main"', "sbatch"),
        ({"executor": "slurm"}, 'cluster = "local"\nno_such_parameter = 1', "no_such_parameter"),
        ({"executor": "slurm"}, 'cluster = "other"', "other"),
        ({"executor": "slurm"}, 'cluster = "local"\nmodels = 3', "models"),
    ],
    ids=str,
)
def test_what_an_executor_cannot_do_is_refused_before_the_run(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], text: str, expects: str
) -> None:
    monkeypatch.setattr("benchmarks.execution.executors.dask.SECONDS_TO_CONNECT", 1)
    (tmp_path / "cluster.toml").write_text(text)
    execution = replace(SIMPLE, **changes, cluster_file=tmp_path / "cluster.toml" if text else None)
    with pytest.raises(BenchmarkError, match=expects):
        run(plan_of(whole), tmp_path / "suite" / "run", execution)
    assert not (tmp_path / "suite").exists()
