"""One of each kind of extension, added to a copy of the project: each is the file or folder that CONTRIBUTING names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import benchmarks

ROOT = Path(benchmarks.__file__).parents[1]
PACKAGES = ("baselines", "benchmarks", "cycseq", "datasets", "reports")
BASELINE = """
from benchmarks.contract import Baseline, Prediction

class Model:
    def fit(self, train, *, seed): pass
    def predict(self, query): return Prediction(query.cells.X.toarray(), unit="cell")

BASELINE = Baseline(name="added_model", build=Model, directions=("n2p",), summary="a test", source="tests")
"""
METRIC = """
import numpy as np
from benchmarks.scoring.metrics.metric import Metric

def added_metric(truth, predicted):
    '''Largest error of any gene.'''
    return np.abs(truth - predicted).max(axis=1)

METRICS = (
    Metric(
        name="added_metric", function=added_metric, needs=("truth", "predicted"), family="profile", best=0.0,
        higher_is_better=False, source="tests",
    ),
)
"""
PROTOCOL = """
from dataclasses import replace
from benchmarks.tasks.protocols.held_out_cells import PROTOCOL as HELD_OUT

PROTOCOL = replace(HELD_OUT, name="added_protocol", summary="a test")
"""
SECTION = """
from reports.pages.page_sections import Section

SECTION = Section("Added section", 999, lambda data: "Text of the added section.")
"""
EXECUTOR = """
from benchmarks.execution.executors.inline import Inline

class Added(Inline):
    def run(self, specs):
        print("added executor")
        yield from super().run(specs)

EXECUTOR = Added
"""
IMPORTER = """
import pandas as pd
from benchmarks.scoring.external.imported_tables import Importer, MetricFacts

def read(files):
    return pd.concat([pd.read_csv(file.path) for file in files])

IMPORTER = Importer("added-form", "tests", read, lambda name: MetricFacts(True, "a test"))
"""
COMMAND = '''
"""Say hello."""

def main() -> None:
    print("added command")
'''
FILES = {
    "baselines/added_model.py": BASELINE,
    "benchmarks/scoring/metrics/added_metric.py": METRIC,
    "benchmarks/tasks/protocols/added_protocol.py": PROTOCOL,
    "reports/pages/sections/added_section.py": SECTION,
    "benchmarks/execution/executors/added_executor.py": EXECUTOR,
    "benchmarks/scoring/external/importers/added_form.py": IMPORTER,
    "benchmarks/cli/commands/added_command.py": COMMAND,
}
"""File → its text: one file for each kind, and for a data set one folder."""


@pytest.fixture(scope="session")
def project(make_shared: Callable[..., Path]) -> Path:
    """A copy of the project with one of each added."""
    return make_shared("project", extend)


def extend(copy: Path) -> None:
    """Copy the project, with what is compiled of it, and add one of each."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package)
    for path, text in FILES.items():
        assert not (copy / path).exists()
        (copy / path).write_text(text)
    shutil.copytree(copy / "datasets" / "smoke_simulated", copy / "datasets" / "added_data")
    card = copy / "datasets" / "added_data" / "card.toml"
    card.write_text(card.read_text().replace('"smoke_simulated"', '"added_data"'))


def command(project: Path, *arguments: str) -> str:
    """Output of `cycseq-bench` in the copy."""
    environment = os.environ | {"PYTHONPATH": str(project)}
    code = "from benchmarks.cli.app import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_extensions_are_listed(project: Path) -> None:
    listed = command(project, "run", "--list")
    for name in ("added_model", "added_metric", "added_protocol", "added_data"):
        assert name in listed
    assert "added" in command(project, "--help")
    assert "added command" in command(project, "added")
    assert "simulated screen" in command(project, "data", "info", "added_data")


def test_extensions_work_in_a_run(project: Path) -> None:
    arguments = ("--suite", "smoke", "--models", "added_model", "--protocol", "added_protocol")
    output = command(project, "run", *arguments, "--executor", "added_executor", "--no-figures", "--direction", "n2p")
    assert "added executor" in output
    folder = next(project.glob("results/smoke/2*"))
    table = pd.read_csv(folder / "scores.csv")
    rows = table[(table["model"] == "added_model") & (table["metric"] == "added_metric")]
    assert (rows["value"] > 0).all()
    assert set(rows["protocol"]) == {"added_protocol"}
    assert "Text of the added section." in (folder / "leaderboard.md").read_text()


def test_an_added_importer_reads_tables(project: Path, tmp_path: Path) -> None:
    rows = [f"set,{model},0,line,{p},score,{value}" for model, value in (("a", 1), ("b", 2)) for p in ("P", "Q")]
    (tmp_path / "table.csv").write_text(
        "\n".join(["dataset,model,seed,context,perturbation,metric,value", *rows]) + "\n"
    )
    command(project, "import", "added-form", str(tmp_path / "table.csv"), "--no-figures", "--out", str(tmp_path))
    board = pd.read_csv(tmp_path / "added-form" / "latest" / "leaderboard.csv").query("level == 'suite'")
    assert dict(zip(board["model"], board["rank"], strict=True)) == {"b": 1, "a": 2}
