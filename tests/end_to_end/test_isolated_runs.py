"""Whole runs with isolated models on the smoke screen: limits hold, nothing is left behind, a missing index is a row."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import registry
from benchmarks.cli.app import application
from benchmarks.execution.events import Preparing, Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import Result, run
from benchmarks.tasks.question import Question
from tests.end_to_end import plugins

NEEDS_ITS_ENVIRONMENT = """
from benchmarks.contract import Baseline, Can, Prediction

class Model:
    def __init__(self, strength: float = 1.0):
        import only_there
        self.strength = strength + only_there.NUMBER
    def fit(self, train, *, seed): pass
    def predict(self, query):
        return Prediction(query.cells.X.toarray() + self.strength, unit="cell")

BASELINE = Baseline(
    name="apart", build=Model, directions=("n2p",), summary="s", source="tests", isolated=True,
    can=Can("ignored", "ignored", "ignored", "ignored"),
)
"""


def run_isolated(folder: Path, *names: str, watch: Watcher = ignore) -> Result:
    files = tuple(plugins.write(folder, name, isolated=True) for name in names)
    question = Question(suite="smoke", models=names, plugins=files, directions=("n2p",))
    return run(make_plan(question), folder / "run", Execution(figures=False), watch)


def rows(result: Result, model: str) -> pd.DataFrame:
    table = pd.read_csv(result.folder / "scores.csv", keep_default_na=False, na_values={"value": [""]})
    return table[(table["model"] == model) & (table["metric"] == "pearson_delta")]


def served(folder: Path) -> list[str]:
    """Processes of isolated models whose files lie in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in str((process / "cwd").readlink()):
                found.append(process.name)
        except OSError:
            continue
    return found


def test_isolated_models_end_in_rows_and_leave_no_process(tmp_path: Path) -> None:
    plugins.link(registry.from_file(plugins.write(tmp_path, "good", isolated=True))[0])
    result = run_isolated(tmp_path, "good", "dies")
    assert set(rows(result, "good")["status"]) == {"ok"}
    assert rows(result, "dies")["reason"].str.contains(r"died \(exit code 9\)").all()
    time.sleep(0.5)
    assert served(tmp_path) == []
    costs = pd.read_csv(result.folder / "costs.csv").set_index("model")["peak_memory_mb"]
    assert costs["good"] > costs["no_change"] + 30, "the model's own process counts"


def test_environment_without_index_is_unsupported_and_resumed(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    seen: list[object] = []
    result = run_isolated(tmp_path, "good", watch=seen.append)
    table = rows(result, "good")
    assert set(table["status"]) == {"unsupported"}
    assert table["reason"].str.contains("python -m benchmarks.environments create good", regex=False).all()
    assert result.failures == 0
    assert Preparing("") in seen
    plugins.link(registry.from_file(tmp_path / "good.py")[0])
    again = run_isolated(tmp_path, "good")
    assert set(rows(again, "good")["status"]) == {"ok"}


@pytest.fixture
def relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an isolated plugin whose package is in its environment only, and a cache named relatively."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CYCSEQ_CACHE", "cache")
    (tmp_path / "apart.py").write_text(NEEDS_ITS_ENVIRONMENT)
    made = plugins.link(registry.from_file(Path("apart.py"))[0])
    (next(made.glob("lib/python*/site-packages")) / "only_there.py").write_text("NUMBER = 2.0")
    return tmp_path


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_relative_folders_and_settings_reach_the_environment(relative: Path, executor: str) -> None:
    options = "--suite smoke --direction n2p --models apart --plugin apart.py --set apart.strength=3.0 --out results"
    command = [*options.split(), "--executor", executor, "--no-figures"]
    done = CliRunner().invoke(application("run"), command)
    assert done.exit_code == 0, done.output
    (folder,) = (relative / "results").glob("smoke/2*")
    found = pd.read_csv(folder / "scores.csv", keep_default_na=False).query("model == 'apart'")
    assert set(found.query("metric == 'mse'")["status"]) == {"ok"}


def test_check_and_environments_use_the_environment_of_a_relative_file(relative: Path) -> None:
    done = CliRunner().invoke(application("check"), ["apart.py"])
    assert done.exit_code == 0, done.output
    assert done.output.count("can_") == 4
    listed = CliRunner().invoke(application("environments"), ["list", "--plugin", "apart.py"], terminal_width=200)
    assert "not made" not in next(line for line in listed.output.splitlines() if "apart" in line)
