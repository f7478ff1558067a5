"""The site of several runs, read without a browser."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from reports import ReportError
from reports.html.site import find_runs, write_site
from tests.unit.reports.html.results import HOSTILE, write_hostile
from tests.unit.reports.result_tables import run_scores, write_run, write_tables


def test_runs_are_found_at_any_depth_and_once(tmp_path):
    runs = [write_tables(tmp_path / "all" / name, run_scores("n2p")) for name in ("a", "b")]
    assert find_runs([tmp_path, runs[0]]) == runs
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReportError, match="empty"):
        find_runs([tmp_path / "empty"])


def test_index_has_a_column_per_task_and_says_simulated(tmp_path):
    write_run(tmp_path / "runs" / "first")
    write_tables(tmp_path / "runs" / "second", run_scores("n2p", source="real").assign(suite="own"))
    index, *pages = write_site([tmp_path / "runs"], tmp_path / "site", n_boot=20)
    text = index.read_text(encoding="utf-8")
    assert [page.name for page in pages] == ["default-first.html", "own-second.html"]
    assert text.count('<th scope="col" class="num">') == 3
    assert text.count("SIMULATED data") == 2
    assert all('href="index.html"' in page.read_text(encoding="utf-8") for page in pages)
    assert {"gears", "train_control"} <= {word.strip() for word in text.replace("<", ">").split(">")}


def test_hostile_names_are_escaped(tmp_path):
    index, *_ = write_site([write_hostile(tmp_path / "run")], tmp_path / "site", n_boot=10)
    text = index.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_two_folders_of_one_name_have_two_pages(tmp_path):
    runs = [write_tables(tmp_path / place / "run", run_scores("n2p")) for place in ("a", "b")]
    pages = write_site(runs, tmp_path / "site", n_boot=5)[1:]
    assert [page.name for page in pages] == ["default-run.html", "default-run-2.html"]


def test_command_makes_the_site_and_refuses_a_folder_without_results(tmp_path):
    write_tables(tmp_path / "run", run_scores("n2p"))
    arguments = ["site", str(tmp_path / "run"), "--out", str(tmp_path / "site"), "--draws", "5"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "site" / "index.html").is_file()
    refused = CliRunner().invoke(app, ["site", str(tmp_path / "site"), "--out", str(tmp_path / "other")])
    assert refused.exit_code == 2
