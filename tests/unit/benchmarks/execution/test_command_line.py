"""The command of a manifest asks the question that it was made from."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.data.own_file import OwnFile
from benchmarks.errors import BenchmarkError
from benchmarks.execution import plan
from benchmarks.execution.command_line import command_of
from benchmarks.execution.executor import Execution
from benchmarks.tasks.question import Question

OWN = OwnFile(
    Path("/data/my screen.h5ad"), "guide", "line", "lane", "dose", "uM", ("NT*", "ctrl"), ";", "ln", "drug", layer="raw"
)
QUESTIONS = [
    Question("smoke"),
    Question("cropseq", models=("linear", "knn"), directions=("p2n",), seeds=3, folds=2, preset="paper", base_seed=7),
    Question(
        "sciplex",
        perturbations=("A (1,2)", "B"),
        contexts=("K 562",),
        data="simulated",
        integration="technical",
        reference="b1",
        measured_only=True,
        input_cells=64,
        space="raw",
        control_rule="nk",
        protocol="resampled",
    ),
    Question(
        "kang",
        settings={"gears": {"epochs": 5, "name": "5", "rate": 0.1, "word": "it's", "on": True, "none": None}},
        plugins=(Path("/tmp/a.py"), Path("/tmp/b c.py")),
        annotation=Path("/tmp/go.json"),
    ),
    Question("cropseq", own=OWN),
    Question("cropseq", own=OwnFile(Path("/data/x.h5ad"), gene_key="symbol")),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_command_asks_the_same_question(question, monkeypatch):
    asked = []

    def keep(question: Question, data_dir: Path | None) -> None:
        asked.append(question)
        raise BenchmarkError("seen")

    monkeypatch.setattr(plan, "make_plan", keep)
    words = shlex.split(command_of(question, Execution()))
    assert words[:2] == ["cycseq-bench", "run"]
    CliRunner().invoke(app, words[1:])
    assert asked == [question]


def test_command_names_what_a_result_may_depend_on():
    execution = Execution(jobs=2, timeout=5.0, keep_predictions=True, device="cuda:1", data_dir=Path("/data"))
    words = shlex.split(command_of(Question("smoke"), execution))
    assert words[4:] == ["--device", "cuda:1", "--timeout", "5.0", "--keep-predictions", "--data-dir", "/data"]
