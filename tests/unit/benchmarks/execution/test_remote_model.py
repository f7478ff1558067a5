"""A predictor in an environment of its own: what goes over, what comes back, and what is left when a side ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.execution.worker import checked_predict

from benchmarks import registry
from benchmarks.conformance import checks
from benchmarks.conformance.checks import Screen
from benchmarks.contract import Baseline, ContractError, Persistent, Prediction
from benchmarks.errors import IsolationError, Unsupported
from benchmarks.execution.environments import proxy
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
    """Where plugins and the proxies' files lie."""
    return tmp_path_factory.mktemp("isolated")


@pytest.fixture(scope="module")
def memory(folder: Path) -> Baseline:
    """A model with everything a model can have, its environment made."""
    (folder / "memory.py").write_text(MEMORY)
    record = registry.from_file(folder / "memory.py")[0]
    plugins.link(record)
    return record


@pytest.fixture(scope="module")
def build(folder: Path, memory: Baseline) -> Callable[..., proxy.Isolated]:
    """Build one of the misbehaving plugins, in the environment of the first: they have the same requirements."""

    def build_one(name: str) -> proxy.Isolated:
        record = registry.from_file(plugins.write(folder, name, isolated=True))[0]
        predictor = proxy.build(record, {}, folder)
        assert isinstance(predictor, proxy.Isolated)
        return predictor

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


def test_an_isolated_model_keeps_the_contract(memory: Baseline, screen: Screen) -> None:
    results = checks.check(memory, screen)
    assert len(results) == 1 + len(checks.CHECKS)
    assert not {r.name: r.problem for r in results if r.problem}


def test_it_predicts_what_it_predicts_in_process(memory: Baseline, screen: Screen, folder: Path) -> None:
    inside, outside = memory.build(strength=3.0), proxy.build(memory, {"strength": 3.0}, folder)
    said: list[tuple] = []
    train = replace(screen.train, report=lambda *words: said.append(words))
    for predictor in (inside, outside):
        predictor.fit(train, seed=5)
    assert said[3:] == said[:3] == [(1, 3, "epoch"), (2, 3, "epoch"), (3, 3, "epoch")]
    for query in screen.queries("n2p")[:2] + screen.queries("p2n")[:1]:
        a, b = inside.predict(query), checked_predict(outside, query)
        np.testing.assert_array_equal(a.values, b.values)
        assert a.genes == b.genes
    assert proxy.peak_memory_mb(outside) > 30
    assert proxy.peak_memory_mb(inside) == 0


def test_what_the_model_gets_is_what_the_harness_has(screen: Screen, folder: Path, memory: Baseline) -> None:
    from benchmarks.data.store.content_hash import digest
    from benchmarks.execution.environments import unit_files

    unit_files.put_train(replace(screen.train, workdir=folder), folder / "t")
    train = unit_files.get_train(folder / "t", print)
    assert digest(train.cells) == digest(screen.train.cells)
    assert train.annotation == screen.train.annotation
    assert (train.space, train.workdir, train.device) == (screen.train.space, folder, "cpu")
    assert train.cells.obs["perturbation"].map(type).eq(str).all()
    assert train.cells.X.dtype == np.float32
    query = screen.queries("p2n")[0]
    unit_files.put_query(query, folder / "q")
    again = unit_files.get_query(folder / "q")
    assert digest(again.cells) == digest(query.cells)
    assert replace(again, cells=None) == replace(query, cells=None)
    draws = Prediction(np.ones((2, 3)), unit="draw", note="n", weights=np.array([1.0, 2.0]))
    unit_files.put_answer(draws, folder / "q")
    back = unit_files.get_answer(folder / "q")
    assert (back.unit, back.note, back.genes, list(back.weights)) == ("draw", "n", None, [1.0, 2.0])


def test_files_and_process_go_with_the_predictor(memory: Baseline, screen: Screen, folder: Path) -> None:
    predictor = proxy.build(memory, {}, folder)
    predictor.fit(screen.train, seed=1)
    predictor.predict(screen.queries("n2p")[0])
    files, pid = predictor._folder, predictor._process.pid
    assert [path.name for path in files.iterdir()] == ["log.txt"], "cells are removed once they are read"
    del predictor
    assert gone(pid)
    assert not files.exists()


def test_a_model_saved_in_one_process_answers_in_another(memory: Baseline, screen: Screen, folder: Path) -> None:
    first, second = proxy.build(memory, {}, folder), proxy.build(memory, {}, folder)
    assert isinstance(first, Persistent)
    first.fit(screen.train, seed=1)
    (folder / "saved").mkdir()
    first.save(folder / "saved")
    second.load(folder / "saved")
    query = screen.queries("n2p")[0]
    np.testing.assert_array_equal(first.predict(query).values, second.predict(query).values)


def test_a_model_without_save_has_none(build) -> None:
    assert not isinstance(build("good"), Persistent)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("raises_in_fit", IsolationError, r"RuntimeError: no convergence \(at raises_in_fit.py:\d+\)"),
        ("returns_nan", ContractError, "NaN or infinite"),
        ("other_genes", ContractError, "other genes or another order"),
        ("returns_array", ContractError, "returned a ndarray; expected a benchmarks.contract.Prediction"),
        ("declines", Unsupported, "^not for me$"),
        ("dies", IsolationError, r"died \(exit code 9\) in 'fit'; killed for lack of memory"),
        ("says_why_it_dies", IsolationError, r"died \(exit code 3\) in 'fit'; it last said: out of luck"),
        ("imports_the_harness", IsolationError, "ModuleNotFoundError: No module named 'cycseq'"),
    ],
)
def test_what_goes_wrong_there_is_said_here(build, screen: Screen, name, kind, words) -> None:
    def ask() -> None:
        predictor = build(name)
        predictor.fit(screen.train, seed=1)
        checked_predict(predictor, screen.queries("n2p")[0])

    with pytest.raises(kind, match=words):
        ask()


def test_one_failed_answer_is_not_the_end_but_a_dead_process_is(build, screen: Screen) -> None:
    query = screen.queries("n2p")[0]
    fails_once = build("raises_once")
    fails_once.fit(screen.train, seed=1)
    fails_once.predict(query)
    with pytest.raises(IsolationError, match="second condition"):
        fails_once.predict(query)
    fails_once.predict(query)
    fails_once._process.kill()
    for _ in range(2):
        with pytest.raises(IsolationError, match=r"died \(exit code -9\)"):
            fails_once.predict(query)


def test_changing_its_copy_of_the_cells_changes_nothing_here(build, screen: Screen) -> None:
    before = screen.train.cells.X.sum()
    build("changes_training").fit(screen.train, seed=1)
    assert screen.train.cells.X.sum() == before


def test_a_model_whose_harness_was_killed_ends_in_the_middle_of_its_work(memory: Baseline, folder: Path) -> None:
    path = plugins.write(folder, "hangs_in_fit", isolated=True)
    code = (
        "import tempfile; from pathlib import Path; from benchmarks import check, registry; from benchmarks.execution.environments import proxy\n"
        f"folder = Path({str(folder)!r}); screen = check.tiny_screen(folder)\n"
        f"predictor = proxy.build(registry.from_file(Path({str(path)!r}))[0], {{}}, folder)\n"
        "print(predictor._process.pid, flush=True); predictor.fit(screen.train, seed=1)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as harness:
        pid = int(harness.stdout.readline())
        assert alive(pid)
        time.sleep(0.5)
        os.kill(harness.pid, signal.SIGKILL)
    assert gone(pid)


def test_an_environment_that_is_not_made_says_how_to_make_it(folder: Path) -> None:
    (folder / "absent.py").write_text(
        MEMORY.replace('"memory"', '"absent"').replace("isolated=True", "isolated=True, requirements=('nothing==1.0',)")
    )
    record = registry.from_file(folder / "absent.py")[0]
    with pytest.raises(IsolationError, match=r"python -m benchmarks\.environments create absent"):
        proxy.build(record, {}, folder)


def test_threads_are_those_of_the_worker(build, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    predictor = build("tells_threads")
    with pytest.raises(IsolationError, match="3 3"):
        predictor.fit(screen.train, seed=1)
