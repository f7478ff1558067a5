"""Environments of isolated models: named by content, and complete or not there at all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import registry
from benchmarks.cli.app import application
from benchmarks.cli.console import EXIT_INTERRUPTED, EXIT_USAGE
from benchmarks.contract import Baseline
from benchmarks.errors import ContractError, IsolationError
from benchmarks.execution.models import model_environment
from benchmarks.execution.models.child_model import ChildModel
from tests.end_to_end import plugins


def record(name: str = "model", *requirements: str, isolated: bool = True) -> Baseline:
    build = type("Build", (), {})
    return Baseline(name, build, ("n2p",), "a model", "tests", isolated=isolated, requirements=requirements)


def write(folder: Path, *requirements: str) -> Path:
    """A plugin file whose model has requirements."""
    path = plugins.write(folder, "good", isolated=True)
    path.write_text(path.read_text().replace("isolated=True", f"isolated=True, requirements={requirements!r}"))
    return path


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """A machine that reaches no package index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return own_cache / "environments"


@pytest.fixture
def silent_index(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[Path]:
    """A package index that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in [n for n in os.environ if n.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/")
        yield own_cache / "environments"


def test_requirements_must_be_pinned_and_of_an_isolated_model() -> None:
    record("model", "numpy==2.0.0", "torch[cpu]==2.1.0")
    for requirements, isolated in ((("numpy>=1",), True), (("numpy",), True), (("numpy==2.0.0",), False)):
        with pytest.raises(ContractError, match="requirements"):
            record("model", *requirements, isolated=isolated)


def test_folder_depends_on_content_alone(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (
        model_environment.environment_of(record("one", "a==1", "b==2")),
        model_environment.environment_of(record("two", "b==2", "a==1")),
    )
    assert one.folder == other.folder
    assert one.folder.parent == own_cache / "environments"
    assert one.all_requirements == sorted(["a==1", "b==2", *model_environment.CONTRACT])
    pinned = model_environment.environment_of(record("old", "AnnData[x]==0.10.9"))
    assert pinned.all_requirements == ["AnnData[x]==0.10.9", "jaxtyping>=0.2.25"]
    assert (
        len({one.folder, pinned.folder, model_environment.environment_of(record("three", "a==1", "b==3")).folder}) == 3
    )
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    assert model_environment.environment_of(record("one", "a==1", "b==2")).folder != one.folder


def test_uv_makes_environments_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert model_environment.install_commands(tmp_path, ["a==1"])[0][1:3] == ["-m", "venv"]
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh")
    uv.chmod(0o755)
    making, installing = model_environment.install_commands(tmp_path, ["a==1"])
    assert making[:2] == [str(uv), "venv"]
    assert installing[:3] == [str(uv), "pip", "install"]
    assert installing[-1] == "a==1"


def test_environment_without_its_python_is_not_ready(own_cache: Path) -> None:
    model = record()
    folder = plugins.link(model)
    environment = model_environment.environment_of(model)
    assert environment.ready
    assert not model_environment.create(environment), "it is there already"
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        (folder / "bin" / name).unlink(missing_ok=True)
        (folder / "bin" / name).symlink_to("/nowhere/python")
    assert not environment.ready
    assert model_environment.remove(environment)
    assert not model_environment.remove(environment)


def test_create_without_index_raises_and_leaves_nothing(no_index: Path) -> None:
    with pytest.raises(IsolationError, match=r"environments create model"):
        model_environment.create(model_environment.environment_of(record("model", "nothing-like-it==1.0")))
    assert [path.name for path in no_index.iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_killed_creation_leaves_nothing_that_looks_complete(silent_index: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "nothing-like-it==1.0")
    environment = model_environment.environment_of(registry.from_file(path)[0])
    command = [sys.executable, "-m", "benchmarks.environments", "create", "good", "--plugin", str(path)]

    def start_and(how: signal.Signals) -> int:
        before = set(silent_index.glob(".*"))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            end = time.monotonic() + 120
            while time.monotonic() < end:
                if any(
                    list(new.glob("lib/python*/site-packages/pip")) for new in set(silent_index.glob(".*")) - before
                ):
                    break
                time.sleep(0.1)
            time.sleep(0.5)
            os.killpg(process.pid, how)
            process.communicate()  # a closed pipe would end it with another status, as it says its last words
        return process.returncode

    assert start_and(signal.SIGKILL) == -signal.SIGKILL
    assert not environment.ready
    left = [path for path in silent_index.iterdir() if path.is_dir()]
    assert len(left) == 1, "what a kill leaves"
    assert start_and(signal.SIGINT) == EXIT_INTERRUPTED
    assert not environment.ready
    assert [path for path in silent_index.iterdir() if path.is_dir()] == [], "the next one removes it, and its own"


def test_command_lists_and_removes(own_cache: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "six==1.16.0")
    plugin = ["--plugin", str(path)]
    run = CliRunner().invoke
    assert "not made" in run(application("environments"), ["list", *plugin], terminal_width=200).output
    folder = plugins.link(registry.from_file(path)[0])
    (folder.parent / "0123456789abcdef").mkdir()
    listed = run(application("environments"), ["list", *plugin]).output.replace("\n", "").replace(" ", "")
    assert folder.name in listed
    assert "0123456789abcdef:nomodelhasit" in listed
    done = run(application("environments"), ["create", "good", *plugin])
    assert "was there" in done.output
    assert run(application("environments"), ["remove", "good", *plugin]).exit_code == 0
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "cellott"], "Did you mean 'cellot'"),
        (["create"], "Name an isolated model"),
        (["make", "cellot"], "expected one of list, create, remove"),
        (["create", "linear"], "Unknown isolated model 'linear'"),
    ],
)
def test_unusable_arguments_are_refused(arguments: list[str], words: str, own_cache: Path) -> None:
    done = CliRunner().invoke(application("environments"), arguments)
    assert done.exit_code == EXIT_USAGE
    assert words in done.output


@pytest.mark.slow
def test_concurrent_create_runs_once_and_a_model_runs_in_it(own_cache: Path, tmp_path: Path) -> None:
    """Needs the package index."""
    model = registry.from_file(write(tmp_path, "six==1.16.0"))[0]
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        made = list(
            pool.map(lambda _: model_environment.create(model_environment.environment_of(model), said.append), range(2))
        )
    assert sorted(made) == [False, True]
    environment = model_environment.environment_of(model)
    assert "six==1.16.0" in environment.installed()
    assert any("another process" in text for text in said)
    assert not any("cycseq" in name for name in environment.installed())
    compiled = next(environment.folder.glob("lib/python*/site-packages/__pycache__/six*.pyc"))
    assert str(environment.folder / "lib").encode() in compiled.read_bytes()
    predictor = ChildModel(model, {})
    from benchmarks.conformance.checks import tiny_screen

    screen = tiny_screen(tmp_path)
    predictor.fit(screen.train, seed=1)
    query = screen.queries("n2p")[0]
    np.testing.assert_allclose(predictor.predict(query).values, query.cells.X.toarray() + 1, rtol=1e-6)
