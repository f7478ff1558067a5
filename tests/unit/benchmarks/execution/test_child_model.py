"""Models in a child process: what reaches the child, what comes back, and what is left when a side ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from benchmarks import registry
from benchmarks.conformance import checks
from benchmarks.conformance.checks import Screen
from benchmarks.contract import Baseline, Prediction
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import BenchmarkError, ContractError, IsolationError, ModelFailed, ModelTimeout, Unsupported
from benchmarks.execution import prediction_store
from benchmarks.execution.models import unit_files, unit_folders
from benchmarks.execution.models.child_model import ChildModel
from benchmarks.execution.models.local_model import LocalModel
from tests.end_to_end import plugins

MEMORY = """
import os, sys
import numpy as np
from benchmarks.contract import Baseline, Prediction

class Model:
    def __init__(self, strength: float = 1.0): self.strength = strength
    def fit(self, train, *, seed):
        for epoch in range(3): train.report(epoch + 1, 3, "epoch")
        self.shift = float(np.random.default_rng(seed).normal()) + train.cells.X.mean()
    def predict(self, query):
        return Prediction(query.cells.X.toarray() + self.strength * self.shift, unit="cell", genes=tuple(query.cells.var_names))
    def save(self, folder): (folder / "shift.txt").write_text(repr(float(self.shift)))
    def load(self, folder): self.shift = float((folder / "shift.txt").read_text())

BASELINE = Baseline(
    name="memory", build=Model, directions=("n2p", "p2n"), summary="s", source="tests", quick={"strength": 2.0}, isolated=True
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the plugins."""
    return tmp_path_factory.mktemp("isolated")


@pytest.fixture(scope="module")
def memory(folder: Path) -> Baseline:
    """An isolated model with everything that a model can have; its environment is made."""
    (folder / "memory.py").write_text(MEMORY)
    record = registry.from_file(folder / "memory.py")[0]
    plugins.link(record)
    return record


@pytest.fixture(scope="module", params=[False, True], ids=["same environment", "own environment"])
def build(request: pytest.FixtureRequest, folder: Path, memory: Baseline) -> Callable[..., ChildModel]:
    """Build one of the misbehaving plugins; those with an environment have that of `memory`."""

    def build_one(name: str, **options: object) -> ChildModel:
        place = folder / str(request.param)
        place.mkdir(exist_ok=True)
        path = plugins.write(place, name, isolated=request.param)
        return ChildModel(registry.from_file(path)[0], {}, **options)  # type: ignore[arg-type]

    return build_one


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def test_isolated_model_passes_the_conformance_suite(memory: Baseline, screen: Screen) -> None:
    results = checks.check(memory, screen)
    assert len(results) == 1 + len(checks.CHECKS)
    assert not {r.name: r.problem for r in results if r.problem}


def test_predictions_are_those_of_the_model_in_this_process(memory: Baseline, screen: Screen) -> None:
    local, remote = LocalModel(memory, {"strength": 3.0}), ChildModel(memory, {"strength": 3.0})
    reports: list[tuple] = []
    train = replace(screen.train, report=lambda *report: reports.append(report))
    for model in (local, remote):
        model.fit(train, seed=5)
        assert model.seconds > 0
    assert reports[3:] == reports[:3] == [(1, 3, "epoch"), (2, 3, "epoch"), (3, 3, "epoch")]
    for query in screen.queries("n2p")[:2] + screen.queries("p2n")[:1]:
        a, b = local.predict(query), remote.predict(query)
        np.testing.assert_array_equal(a.values, b.values)
    assert remote.peak_memory_mb > 30


def test_input_cells_that_questions_share_are_written_once(build, screen: Screen) -> None:
    model = build("good")
    model.fit(screen.train, seed=0)
    first, other = screen.queries("n2p")[0], screen.queries("p2n")[0]
    written = {}
    for name, query in {"first": first, "again": replace(first, seed=9), "other": other, "back": first}.items():
        model.predict(query)
        written[name] = (model.folder / f"{unit_files.QUERY}.npz").stat().st_mtime_ns
    assert written["again"] == written["first"] < written["other"] < written["back"]


def test_what_a_predictor_adds_to_its_input_is_in_no_other_question(screen: Screen) -> None:
    seen: list[list[str]] = []

    class Adds:
        def fit(self, train: Any, *, seed: int) -> None:
            pass

        def predict(self, query: Any) -> Prediction:
            seen.append([*query.cells.uns, *query.cells.layers, *query.cells.obsm, *query.cells.var])
            query.cells.uns["mine"], query.cells.var["mine"] = 1, 0
            query.cells.obsm["mine"] = np.zeros((query.cells.n_obs, 2))
            return Prediction(query.cells.X, unit="cell")

    record = Baseline(name="adds", build=Adds, directions=("n2p",), summary="adds", source="this test")
    model, query = LocalModel(record, {}), screen.queries("n2p")[0]
    for _ in range(2):
        model.predict(query)
    assert seen == [[], []]
    assert not query.cells.uns


def test_an_answer_is_not_the_next_one(screen: Screen) -> None:
    class Reuses:
        def fit(self, train, *, seed):
            self.answer = np.zeros((2, len(train.genes)), dtype=np.float32)

        def predict(self, query):
            self.answer += 1
            return Prediction(self.answer, unit="cell")

    model = LocalModel(Baseline(name="reuses", build=Reuses, directions=("n2p",), summary="-", source="this test"), {})
    model.fit(screen.train, seed=0)
    first, second = (model.predict(query) for query in screen.queries("n2p")[:2])
    assert first.values.max() == 1
    assert second.values.max() == 2


def test_files_of_a_unit_hold_what_was_written(screen: Screen, tmp_path: Path) -> None:
    unit_files.put_train(screen.train, tmp_path)
    train = unit_files.get_train(tmp_path)
    assert digest(train.cells) == digest(screen.train.cells)
    assert train.annotation == screen.train.annotation
    assert (train.space, train.device) == (screen.train.space, "cpu")
    assert train.cells.obs["perturbation"].map(type).eq(str).all()
    assert train.cells.obs.dtypes.equals(screen.train.cells.obs.dtypes)
    assert train.cells.X.dtype == np.float32
    query = screen.queries("p2n")[0]
    unit_files.put_query(query, tmp_path)
    again = unit_files.get_query(tmp_path)
    assert digest(again.cells) == digest(query.cells)
    assert replace(again, cells=None) == replace(query, cells=None)
    draws = Prediction(np.ones((2, 3)), unit="draw", note="n", weights=np.array([1.0, 2.0]))
    prediction_store.put_prediction(tmp_path, 0, draws)
    back = prediction_store.get_prediction(tmp_path, 0)
    assert (back.unit, back.note, list(back.weights)) == ("draw", "n", [1.0, 2.0])


def test_unit_folder_holds_no_cells_of_the_truth(build, screen: Screen) -> None:
    model = build("good")
    model.fit(screen.train, seed=1)
    assert not list(model.folder.glob("train.*")), "training cells are removed once the model is trained"
    query = screen.queries("n2p")[0]
    model.predict(query)
    with np.load(model.folder / "query.npz") as stored:
        assert list(stored["names"]) == list(query.cells.obs_names)
    known = {"log.txt", "query.npz", "query.json", "tmp"}
    assert all(path.name in known or path.name.startswith("answer_") for path in model.folder.iterdir())


def test_process_and_files_end_with_the_model(build, screen: Screen) -> None:
    model = build("good")
    model.fit(screen.train, seed=1)
    pid, files = model.process.pid, model.folder
    del model
    assert gone(pid)
    assert not files.exists()


def test_saved_model_predicts_the_same_in_another_process(memory: Baseline, screen: Screen, tmp_path: Path) -> None:
    first, second = ChildModel(memory, {}), ChildModel(memory, {})
    assert first.persistent
    first.fit(screen.train, seed=1)
    first.save(tmp_path)
    second.load(tmp_path)
    query = screen.queries("n2p")[0]
    np.testing.assert_array_equal(first.predict(query).values, second.predict(query).values)


def test_model_without_save_is_not_persistent(build) -> None:
    assert not build("good").persistent


ERRORS = {
    "raises_in_fit": (ModelFailed, r"RuntimeError: no convergence \(at raises_in_fit.py:\d+\)$"),
    "says_why_it_dies": (ModelFailed, "exit code 3.*out of luck"),
    "returns_nan": (ContractError, "NaN"),
    "other_genes": (ContractError, "genes"),
    "returns_array": (ContractError, "ndarray"),
    "changes_training": (ContractError, "training cells"),
    "changes_input": (ContractError, "input cells"),
    "declines": (Unsupported, "not for me"),
    "dies": (ModelFailed, "exit code 9"),
}
"""Plugin → the error that its child ends with."""


@pytest.mark.parametrize(
    ("name", "build"),
    [*((name, False) for name in ERRORS), *((name, True) for name in ("raises_in_fit", "says_why_it_dies"))],
    indirect=["build"],
)
def test_errors_in_the_child_are_raised_here(build, screen: Screen, name: str) -> None:
    before = screen.train.cells.X.sum()
    kind, match = ERRORS[name]

    def predict() -> None:
        model = build(name)
        model.fit(screen.train, seed=1)
        model.predict(screen.queries("n2p")[0])

    with pytest.raises(kind, match=match):
        predict()
    assert screen.train.cells.X.sum() == before


def test_own_environment_has_no_other_package_of_the_harness(folder: Path, memory: Baseline, screen: Screen) -> None:
    record = registry.from_file(plugins.write(folder, "imports_the_harness", isolated=True))[0]
    with pytest.raises(ModelFailed, match="No module named 'cycseq'"):
        ChildModel(record, {}).fit(screen.train, seed=1)


def test_failed_prediction_does_not_end_the_child_and_a_killed_child_fails(build, screen: Screen) -> None:
    query = screen.queries("n2p")[0]
    model = build("raises_once")
    model.fit(screen.train, seed=1)
    model.predict(query)
    with pytest.raises(ModelFailed, match="second condition"):
        model.predict(query)
    model.predict(query)
    model.process.kill()
    for _ in range(2):
        with pytest.raises(ModelFailed, match=r"killed by SIGKILL.*stage 'predict'"):
            model.predict(query)
    assert not model.folder.exists()


def test_timeout_ends_the_child(build, screen: Screen) -> None:
    model = build("hangs_in_fit", timeout=20.0)
    model.timeout = 1.0
    with pytest.raises(ModelTimeout, match="--timeout"):
        model.fit(screen.train, seed=1)
    assert gone(model.process.pid)


def test_children_end_when_the_harness_is_killed(
    memory: Baseline, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four at once: models that hang with a child of their own or hold the interpreter, in both environments."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (folder / "own").mkdir()
    names = ("hangs_with_a_child", "holds_the_interpreter")
    places = ((folder, False), (folder / "own", True))
    paths = [str(plugins.write(place, name, isolated=own)) for name in names for place, own in places]
    code = (
        "from pathlib import Path; from threading import Thread; from benchmarks import registry\n"
        "from benchmarks.conformance.checks import tiny_screen\n"
        "from benchmarks.execution.models.child_model import ChildModel\n"
        f"paths = [Path(path) for path in {paths!r}]; screen = tiny_screen(paths[0].parent)\n"
        "models = [ChildModel(registry.from_file(path)[0], {}) for path in paths]\n"
        "print(*(model.process.pid for model in models), flush=True)\n"
        "print(*(model.folder / 'log.txt' for model in models), flush=True)\n"
        "for model in models: Thread(target=model.fit, args=(screen.train,), kwargs={'seed': 1}).start()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as harness:
        pids = [int(pid) for pid in harness.stdout.readline().split()]
        assert len(pids) == len(paths)
        assert all(alive(pid) for pid in pids)
        logs, end = [Path(log) for log in harness.stdout.readline().split()], time.monotonic() + 20
        while not all(log.read_text().strip() for log in logs[:2]) and time.monotonic() < end:
            time.sleep(0.1)
        pids += [int(log.read_text()) for log in logs[:2]]
        assert not any(log.read_text() for log in logs[2:])
        time.sleep(1.0)
        os.kill(harness.pid, signal.SIGKILL)
    assert all(gone(pid) for pid in pids)
    (left,) = tmp_path.glob(f"{unit_folders.PREFIX}*")
    assert unit_folders.remove_abandoned(tmp_path) == [left]
    assert not left.exists()


def test_folder_of_a_running_process_is_not_abandoned(build) -> None:
    model = build("good")
    assert model.folder.parent not in unit_folders.remove_abandoned(model.folder.parents[1])
    assert model.folder.is_dir()


def test_a_folder_that_is_taken_for_abandoned_before_it_is_locked_is_made_again(tmp_path, monkeypatch) -> None:
    """Two processes begin at once: the other one removes a folder between its making and its lock."""
    lost = []

    class LosesTheFirst(FileLock):
        def acquire(self, *arguments: Any, **options: Any) -> Any:
            if not lost:
                lost.append(Path(self.lock_file).parent)
                shutil.rmtree(lost[0])
                raise FileNotFoundError(self.lock_file)
            return super().acquire(*arguments, **options)

    monkeypatch.setattr(unit_folders, "FileLock", LosesTheFirst)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = unit_folders._home.__wrapped__()
    assert home != lost[0]
    assert (home / unit_folders.LOCK).is_file()


def test_killed_child_leaves_no_semaphore(folder: Path) -> None:
    path = plugins.write(folder, "leaves_a_semaphore")
    code = (
        "from pathlib import Path; from benchmarks import registry; from benchmarks.conformance.checks import tiny_screen\n"
        "from benchmarks.execution.models.child_model import ChildModel, ModelTimeout\n"
        f"path = Path({str(path)!r}); screen = tiny_screen(path.parent)\n"
        "model = ChildModel(registry.from_file(path)[0], {}, timeout=20.0); model.timeout = 2.0\n"
        "try: model.fit(screen.train, seed=1)\n"
        "except ModelTimeout: print('ended')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout == "ended\n"
    assert "leaked" not in done.stderr


def test_temporary_folder_that_cannot_be_written_fails_the_model(build, screen: Screen) -> None:
    model = build("good")
    try:
        shutil.rmtree(model.folder)
        with pytest.raises(ModelFailed, match="TMPDIR"):
            model.fit(screen.train, seed=0)
    finally:
        model.close()


def test_missing_environment_names_the_command(folder: Path) -> None:
    (folder / "absent.py").write_text(
        MEMORY.replace('"memory"', '"absent"').replace("isolated=True", "isolated=True, requirements=('nothing==1.0',)")
    )
    record = registry.from_file(folder / "absent.py")[0]
    with pytest.raises(IsolationError, match="environments create absent"):
        ChildModel(record, {})


def test_child_has_the_threads_given(build, screen: Screen) -> None:
    with pytest.raises(BenchmarkError, match="threads: 3"):
        build("tells_threads", threads=3).fit(screen.train, seed=1)


def test_child_needs_no_package_but_those_of_the_contract() -> None:
    """A model's own environment has anndata and what comes with it; one model's worth of others is refused here."""
    code = (
        "import sys, anndata\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('pydantic', 'pooch', 'filelock', 'sklearn', 'threadpoolctl', 'torch', 'typer', 'rich', 'cycseq'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import benchmarks.execution.models.session"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
