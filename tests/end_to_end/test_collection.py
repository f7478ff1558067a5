"""Several suites in one command, and a whole run on cells with doses."""

from __future__ import annotations

import json
import pickle
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks.analyses.paper_results import write_all
from benchmarks.data.own_file import OwnFile
from benchmarks.errors import BenchmarkError, UnknownName
from benchmarks.execution.collection import run_suites
from benchmarks.execution.events import UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question
from benchmarks.tasks.suites import PAPER, suite_names
from reports.pages.console import print_index
from reports.pages.index_page import Entry
from reports.tables import read_leaderboard
from tests.conftest import make_cells

NAMES = ("smoke", "kang")
QUIET = Execution(figures=False)
QUESTION = Question("all", models=("linear",), directions=("n2p",), data="simulated")


@pytest.fixture(scope="session")
def made(make_shared) -> tuple[Path, list[Entry]]:
    """A suite that runs, and one that has no simulated data."""

    def fill(folder: Path) -> None:
        (folder / "made").write_bytes(pickle.dumps(run_suites(NAMES, QUESTION, folder / "out", QUIET)))

    return pickle.loads((make_shared("suites", fill) / "made").read_bytes())


def test_suite_names_one_several_or_all():
    assert suite_names(["all"]) == PAPER
    assert suite_names(["smoke", "kang", "smoke"]) == ("smoke", "kang")
    with pytest.raises(UnknownName, match="Did you mean 'sciplex'"):
        suite_names(["smoke", "siplex"])
    with pytest.raises(BenchmarkError, match="--suite is empty"):
        suite_names([])


def test_unusable_suite_does_not_stop_the_others(made):
    assert [entry.suite for entry in made[1]] == ["smoke", "kang"]
    assert [bool(entry.problem) for entry in made[1]] == [False, True]
    assert "no simulated data" in made[1][1].problem
    assert made[1][0].failures == 0
    assert (made[0] / "smoke" / "leaderboard.md").is_file()


def test_summary_and_index_cover_all_suites(made):
    summary = pd.read_csv(made[0] / "summary.csv")
    assert set(summary["suite"]) == {"smoke"}
    assert set(summary["level"]) == {"suite"}
    page = (made[0] / "index.md").read_text()
    assert "| model | smoke n2p (simulated) |" in page
    assert "| no_change † | 0.000 |" in page
    assert "| *oracle* | 1.000 |" in page
    assert "[Leaderboard](smoke/leaderboard.md)" in page
    assert "Not run. BenchmarkError: Suite 'kang' has no simulated data" in page


def test_console_table_covers_all_suites(made):
    out = StringIO()
    print_index(read_leaderboard(made[0] / "summary.csv"), Console(file=out, width=80))
    text = out.getvalue()
    assert "SIMULATED: all of them" in text
    assert re.search(r"no_change †\s+0\.000\s", text)
    assert re.search(r"train_control †\s+–\s", text), "a word for why is in index.md"
    assert "…" not in text


def test_failed_analysis_does_not_stop_the_others(made):
    smoke = made[0] / "smoke"  # has no doses
    enriched, embedded, page = write_all({"smoke": smoke, "sciplex": smoke}, made[0] / "paper")
    assert enriched.startswith("enrichment (Figure 6): ")
    assert embedded.startswith("cells by dose (Figure 5): not made. BenchmarkError: ")
    assert "has no doses" in embedded
    assert page == f"the paper's page: {made[0] / 'paper' / 'paper.md'}"
    assert "## Figure 5" in (made[0] / "paper" / "paper.md").read_text()


def test_resume_uses_the_same_folder_and_trains_nothing(made):
    seen = []
    again = run_suites(NAMES, QUESTION, made[0].parents[1], QUIET, seen.append, resume=True)
    assert again[0] == made[0]
    assert not [event for event in seen if isinstance(event, UnitStarted)]


def test_other_question_gets_its_own_folder(made):
    other = run_suites(("kang",), QUESTION, made[0].parents[1], QUIET, resume=True)
    assert other[0] != made[0]
    assert json.loads((other[0] / "collection.json").read_text())["suites"] == ["kang"]


def test_run_on_doses_predicts_the_higher_dose(tmp_path):
    sizes = {(c, p, d): 30 for c in "xy" for p in "DEF" for d in (10.0, 1000.0)} | {(c, "control"): 30 for c in "xy"}
    cells = make_cells(sizes, n_genes=30)
    strong = (cells.obs["dose"] == 1000.0).to_numpy()
    x = cells.X.toarray()
    x[strong, :10] += 20.0
    cells.X = type(cells.X)(np.rint(x))
    cells.write_h5ad(tmp_path / "doses.h5ad")
    own = OwnFile(tmp_path / "doses.h5ad", context="context", dose="dose", control=("control",), kind="drug")
    question = Question("own", ("context_transfer", "scgen"), "low_to_high_dose", perturbations=("D",), own=own)
    result = run(make_plan(question), tmp_path / "run", QUIET)
    assert result.failures == 0
    scores = pd.read_csv(result.folder / "scores.csv").query("metric == 'pearson_delta'")
    assert set(scores["dose"]) == {1000.0}
    assert set(scores["direction"]) == {"n2p"}
    declined = scores[scores["model"] == "scgen"]
    assert set(declined["status"]) == {"unsupported"}
    assert declined["reason"].str.contains("record says dose: no; it was not trained").all()
    means = scores.groupby("model")["value"].mean()
    assert means["no_change"] == 0
    assert means["train_mean"] > 0.9, "the step of E and F is D's"
    facts = pd.read_csv(result.folder / "conditions.csv")
    assert facts[["start_dose", "dose"]].drop_duplicates().to_numpy().tolist() == [[10.0, 1000.0]]
    planted = pd.read_csv(result.folder / "planted.csv")
    assert set(planted["dose"]) == {1000.0}
    with pytest.raises(UnknownName, match="Unknown compound of doses 'G'"):
        make_plan(Question("own", protocol="low_to_high_dose", perturbations=("G",), own=own))
    with pytest.raises(BenchmarkError, match="low_to_high_dose"):
        make_plan(Question("own", protocol="low_to_high_dose", directions=("p2n",), own=own))
