"""What report.html holds, read without a browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports import ReportError, load, write_reports
from reports.html.charts import chart_specs, make_specs
from reports.html.packing import pack
from reports.html.report_page import task_pages
from reports.stats.run_statistics import analyse
from tests.unit.reports.html.results import HOSTILE, NAMES, write_changes, write_hostile, write_large, write_results
from tests.unit.reports.result_tables import run_scores, write_run, write_tables


class Page(HTMLParser):
    """Elements of a page, its text, and its ids."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.tags, self.ids, self.scripts = (
            "",
            list[tuple[str, dict[str, str | None]]](),
            list[str](),
            list[str](),
        )
        self._in: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self._in.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data):
        if self._in and self._in[-1] == "script":
            self.scripts[-1] += data
        elif not self._in or self._in[-1] != "style":
            self.text += data

    @property
    def payload(self) -> dict:
        return json.loads(self.scripts[0])


def unpack(packed: dict) -> np.ndarray:
    planes = np.frombuffer(gzip.decompress(base64.b64decode(packed["numbers"])), dtype=np.uint8)
    return np.ascontiguousarray(planes.reshape(4, -1).T).view("<f4").reshape(packed["shape"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_results(tmp_path_factory.mktemp("html") / "run")
    write_reports(folder, n_boot=100, figures=False)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page(folder / "report.html")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = write_hostile(tmp_path_factory.mktemp("hostile") / "run")
    write_reports(folder, n_boot=20, figures=False)
    return Page(folder / "report.html")


def test_sections_are_in_the_order_a_reader_asks(page):
    sections = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    wanted = [
        "asked",
        "verdict",
        "board",
        "ranking",
        "contexts",
        "effect",
        "calibration",
        "copying",
        "drill",
        "cells",
        "reproduce",
        "missing",
    ]
    assert [name for name in sections if name in wanted] == wanted
    assert len(page.ids) == len(set(page.ids))
    targets = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert targets
    assert all(target.startswith("#") and target[1:] in page.ids for target in targets)


def test_page_says_what_was_asked_and_how_to_ask_again(page):
    assert page.text.count("cycseq-bench run --suite default --models linear,gears") >= 2
    for fact in ("A test suite", "2026-01-02 03:04:05", "1,200 cells", "0" * 64, "epochs = 2", "SIMULATED"):
        assert fact in page.text


def test_nothing_is_fetched(page):
    assert not [attrs for tag, attrs in page.tags if attrs.get("src") or tag in ("link", "iframe", "img")]
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_verdict_names_leader_interval_and_certainty(folder):
    pages = task_pages(analyse(load(folder), n_boot=100, seed=0), n_boot=100, seed=0)
    verdicts = {page.task.direction: page.verdict for page in pages}
    for direction, verdict in verdicts.items():
        board = pd.read_csv(folder / "leaderboard.csv")
        rows = board[
            (board["direction"] == direction) & (board["level"] == "suite") & (board["metric"] == "pearson_delta")
        ]
        assert verdict.leader == rows.loc[rows["rank"] == 1, "model"].item()
        assert len(verdict.sentences) == 2
        assert all(re.search(r"\[.*\]", sentence) for sentence in verdict.sentences)
        others = rows[(rows["rank"] > 1) & (rows["p_best"] >= 0.05)]
        assert verdict.certain == others.empty
    facts = dict(verdicts["n2p"].facts)
    assert "gears" in facts["Trained short"]
    assert "scgen (2 of" in facts["Failed"]
    assert {"Hardest condition", "Easiest condition"} <= set(facts)
    assert facts["What is measured"].startswith("pearson_delta: ")


def test_uninformative_metric_has_no_leader(tmp_path):
    scores = run_scores("n2p")
    turned = (scores["model"] == "split_half") & (scores["metric"] == "pearson_delta")
    scores.loc[turned, "value"] = -scores.loc[turned, "value"]
    run = analyse(load(write_tables(tmp_path, scores)), n_boot=50, seed=0)
    verdict = task_pages(run, n_boot=50, seed=0)[0].verdict
    assert verdict.leader == ""
    assert not verdict.certain
    assert "cannot tell" in verdict.sentences[0]


def test_a_baseline_that_leads_is_said_so(tmp_path):
    scores = run_scores("p2n")
    run = analyse(load(write_tables(tmp_path, scores)), n_boot=50, seed=0)
    verdict = task_pages(run, n_boot=50, seed=0)[0].verdict
    assert verdict.leader == "train_control"
    assert "no model is better than" in verdict.sentences[0]


def test_one_condition_is_never_certain(tmp_path):
    scores = run_scores("n2p")
    one = scores[(scores["context"] == "K562") & (scores["perturbation"] == "GENE01")]
    write_reports(write_tables(tmp_path, one), n_boot=5, figures=False)
    run = analyse(load(tmp_path), n_boot=5, seed=0)
    assert not task_pages(run, n_boot=5, seed=0)[0].verdict.certain


def test_board_has_badges_and_folds_away_what_has_no_value(folder, page):
    run = analyse(load(folder), n_boot=20, seed=0)
    boards = {page.task.direction: page.board for page in task_pages(run, n_boot=20, seed=0)}
    badges = {line.model: {badge.text for badge in line.badges} for line in boards["n2p"].lines}
    assert "quick" in badges["gears"]
    assert "failed 2/60" in badges["scgen"]
    assert "bracket" in badges["train_mean"]
    assert "reference" in badges["oracle"]
    assert [model for model, _ in boards["p2n"].without] == ["gears"]
    assert "some models trained short (quick)" in page.text
    assert "predicts perturbed cells from controls only" in page.text
    captions = sum(tag == "caption" for tag, _ in page.tags)
    assert captions >= 2
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in page.tags if tag == "th")


def test_payload_holds_the_numbers_of_the_tables(folder, page):
    task = page.payload["tasks"][0]
    board = pd.read_csv(folder / "leaderboard.csv")
    rows = board[(board["direction"] == "n2p") & (board["level"] == "suite")].set_index(["metric", "model"])["mean"]
    facts = unpack(task["board"])
    for place, metric in enumerate(task["metrics"]):
        for model, name in enumerate(task["models"]):
            np.testing.assert_allclose(facts[place, model, 0], rows[metric["name"], name], rtol=2e-4, atol=1e-6)
    values = unpack(task["values"])
    scores = load(folder).scores
    own = scores[(scores["model"] == "linear") & (scores["metric"] == "mse") & (scores["direction"] == "n2p")]
    own = own.set_index(["context", "perturbation"])["value"]
    column = values[[m["name"] for m in task["metrics"]].index("mse"), :, task["models"].index("linear")]
    wanted = [own[context, condition] for context, condition in task["conditions"]]
    np.testing.assert_allclose(column, wanted, rtol=2e-4)
    changes = task["changes"]
    assert unpack(changes["predicted"]).shape == (len(changes["models"]), sum(changes["sizes"]))


def test_packing_keeps_four_digits_and_whole_numbers():
    values = np.array([[1.23456, -9.8765e-7, np.nan], [3e20, 0.0, np.inf]])
    found = unpack(pack(values))
    np.testing.assert_allclose(found, values, rtol=1.3e-4)
    whole = np.arange(0, 2**20, 12345)
    assert (unpack(pack(whole, exact=True)) == whole).all()
    many = pack(np.random.default_rng(0).normal(size=50_000))
    assert len(str(many["numbers"])) < 3.2 * 50_000


def test_hostile_names_are_text_everywhere(hostile):
    assert len(hostile.scripts) == 4, "payload, two libraries, and the program"
    assert not [tag for tag, attrs in hostile.tags if tag == "b" and attrs]
    for name in NAMES:
        assert name in hostile.text
    models = hostile.payload["tasks"][0]["models"]
    assert HOSTILE in models
    assert NAMES[1] in models
    assert NAMES[5] in models


def test_folder_without_manifest_changes_or_cells_says_so(tmp_path):
    write_reports(write_run(tmp_path), n_boot=10, figures=False)
    page = Page(tmp_path / "report.html")
    assert "no manifest that names the command" in page.text
    assert all(task["changes"] is None and task["cells"] is None for task in page.payload["tasks"])


@pytest.mark.parametrize("content", ["[]", "{", '{"models": 3, "splits": [1], "started": {}}'])
def test_manifest_of_another_shape_is_no_failure(tmp_path, content):
    write_tables(tmp_path, run_scores("n2p"))
    (tmp_path / "manifest.json").write_text(content)
    write_reports(tmp_path, n_boot=5, figures=False)
    assert (tmp_path / "report.html").stat().st_size


def test_damaged_changes_are_refused(tmp_path):
    write_changes(write_run(tmp_path))
    table = pd.read_csv(tmp_path / "changes.csv")
    table.drop(columns="true").to_csv(tmp_path / "changes.csv", index=False)
    with pytest.raises(ReportError, match=r"changes\.csv lacks true"):
        load(tmp_path)
    table.assign(**{"predicted:linear": "x"}).to_csv(tmp_path / "changes.csv", index=False)
    with pytest.raises(ReportError, match="predicted:linear"):
        load(tmp_path)


def test_charts_json_is_what_altair_makes():
    pytest.importorskip("altair")
    assert chart_specs() == json.loads(json.dumps(make_specs())), "run python -m reports.html.charts"


def test_references_take_no_colour_of_a_model(folder, page):
    board = page.payload["tasks"][0]
    references = [name for name, reference in zip(board["models"], board["reference"], strict=True) if reference]
    assert references
    assert not set(references) & set(page.payload["looks"])
    assert (
        len({tuple(look) for look in page.payload["looks"].values()}) >= len(set(board["models"]) - set(references)) - 1
    )
    lines = task_pages(analyse(load(folder), n_boot=5, seed=0), n_boot=5, seed=0)[0].board.lines
    assert len({line.colours for line in lines if line.reference}) == 1


def test_charts_take_their_numbers_from_named_data_alone():
    for name, spec in chart_specs().items():
        assert "width" in spec or "hconcat" in spec, name
        assert '"url"' not in json.dumps(spec)
        assert spec["description"]


@pytest.mark.slow
def test_the_largest_page_is_below_six_megabytes(tmp_path):
    write_reports(write_large(tmp_path), n_boot=200, figures=False)
    assert (tmp_path / "report.html").stat().st_size < 6e6
