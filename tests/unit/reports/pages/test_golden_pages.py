"""Each page, made from small tables, equals its file in tests/golden/pages; REWRITE_GOLDEN=1 rewrites the files."""

import os
from pathlib import Path

import pandas as pd
import pytest

from reports import write_reports
from reports.formatting import save_page
from reports.pages.audits_page import write_audits
from reports.pages.index_page import Entry, write_index
from reports.pages.leaderboard_page import leaderboard_blocks
from reports.pages.paper_page import write_paper
from reports.pages.study_page import write_study
from reports.stats.audits import DIRECTION_COLUMNS, compare_integrations, compare_protocols
from reports.stats.run_statistics import analyse
from reports.stats.study_summary import summarise_seeds
from reports.tables import MODEL_COLUMNS, load
from tests.unit.reports.result_tables import run_scores, write_run

GOLDEN = Path(__file__).parents[3] / "golden" / "pages"


def check(page: Path) -> None:
    """Compare a page with its golden file, or write that file."""
    golden, text = GOLDEN / page.name, page.read_text(encoding="utf-8")
    if os.environ.get("REWRITE_GOLDEN") == "1":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), f"{page.name} has changed; REWRITE_GOLDEN=1 rewrites {golden}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    row = dict.fromkeys(MODEL_COLUMNS, "") | {"model": "mine", "directions": "n2p p2n", "dose": "no", "source": "doi:1"}
    folder = write_run(tmp_path_factory.mktemp("golden") / "cropseq", models=pd.DataFrame([row]))
    write_reports(folder, n_boot=100, figures=False)
    return folder


def test_leaderboard_page(folder):
    check(folder / "leaderboard.md")


def test_leaky_leaderboard_page(folder, tmp_path):
    tables = load(folder)
    scores = run_scores("n2p", source="real", audit="leaky: 60 conditions share cells")
    run = analyse(type(tables)(scores, tables.metrics, tables.costs, tables.planted, tables.models), n_boot=20, seed=0)
    page = save_page(leaderboard_blocks(run, {}), tmp_path / "leaderboard_leaky.md")
    check(page)
    assert "LEAKY" in page.read_text(encoding="utf-8")


def test_index_page(folder):
    entries = [Entry("cropseq", folder, "Cross-line transfer", 2, 90.0), Entry("sciplex", folder, problem="No data.")]
    write_index(entries, folder.parent)
    check(folder.parent / "index.md")


def test_study_page(folder, tmp_path):
    tables = load(folder)
    write_study(summarise_seeds(tables.scores, tables.metrics, n_boot=50), tmp_path)
    check(tmp_path / "study.md")


def test_audits_page(folder, tmp_path):
    run = load(folder)
    leaky = run.scores.assign(value=run.scores["value"] * 1.1, protocol="resampled")
    other = type(run)(leaky, run.metrics, run.costs, run.planted, run.models)
    labels = ("default", "cropseq_simulated", "simulated", "unseen_perturbation", "p2n")
    answers = pd.DataFrame(
        [
            (*labels, "linear", "p2n", 0.3, 0.2, 0.4, 0.7, 0.9, 0.1, 0.0, "right way", 60),
            (*labels, "linear", "n2p", -0.3, -0.4, -0.2, -0.7, 0.8, -0.1, 0.5, "caught", 60),
        ],
        columns=list(DIRECTION_COLUMNS),
    )
    tables = {
        "protocols": compare_protocols(run, other, n_boot=20),
        "direction": answers,
        "direction_metrics": pd.DataFrame({"metric": ["mse", "r2"], "sees": [True, False]}),
        "integration": compare_integrations({"none": run, "combat": run}, {}, n_boot=20),
    }
    write_audits(tables, {"none": "cells as they are", "combat": "batch-corrected"}, tmp_path)
    check(tmp_path / "audits.md")


def test_paper_page(folder, tmp_path):
    check(write_paper({"cropseq": folder, "replogle": folder}, tmp_path)[-1])
