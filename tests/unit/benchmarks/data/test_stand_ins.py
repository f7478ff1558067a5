"""Simulated files in the form of upstream files never count as real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.data.cards import read_card
from benchmarks.data.dataset import load_dataset, present
from benchmarks.data.download import sha256_of
from benchmarks.data.own_file import OwnFile, own_source
from benchmarks.data.stand_ins import LIST, StandIn, find_card, write_list
from benchmarks.errors import DataError, DownloadError
from benchmarks.execution.plan import make_plan
from benchmarks.tasks.question import Question
from tests.unit.datasets import upstream_files as upstream

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Both Replogle files, in their form and under their names, of other content than the real ones."""
    folder = tmp_path / "files"
    return {line.lower(): upstream.replogle(folder, line, n=240).files[line.lower()] for line in ("K562", "RPE1")}


def say_simulated(files: dict[str, Path]) -> Path:
    folder = next(iter(files.values())).parent
    write_list(folder, {path.name: StandIn(sha256_of(path), path.stat().st_size) for path in files.values()})
    return folder


def test_files_of_other_content_are_refused_unless_they_are_listed(files):
    folder = files["k562"].parent
    with pytest.raises(DownloadError, match="sha256"):
        load_dataset("replogle", data_dir=folder)
    say_simulated(files)
    loaded = load_dataset("replogle", data_dir=folder)
    assert loaded.card.source == "simulated"
    assert "simulated" in loaded.card.title
    assert read_card("replogle").source == "real"
    assert find_card("replogle").source == "real"


def test_a_listed_file_of_other_content_is_refused(files):
    folder = say_simulated(files)
    (folder / LIST).write_text(json.dumps({files["k562"].name: {"sha256": "0" * 64, "size": 1}}))
    with pytest.raises(DownloadError, match="0000"):
        load_dataset("replogle_k562", data_dir=folder)


def test_one_simulated_file_makes_the_data_set_simulated(files):
    folder = say_simulated({"k562": files["k562"]})
    assert find_card("replogle", folder).source == "simulated"
    assert find_card("replogle_rpe1", folder).source == "real"
    assert find_card("kang", folder).source == "real"


@pytest.mark.parametrize("data", ["real", "auto"])
def test_a_run_on_them_says_simulated_and_is_found_again(files, data):
    folder = say_simulated(files)
    assert present("replogle", folder)
    plan = make_plan(Question("replogle", models=("no_change",), data=data), folder)
    assert plan.labels["source"] == "simulated"
    assert plan.labels["dataset"] == "replogle"
    assert any("Simulated" in note for note in plan.notes)
    assert make_plan(plan.question, folder).key == plan.key


def test_a_listed_file_given_as_own_file_is_simulated(files):
    folder = say_simulated(files)
    own = OwnFile(folder / files["k562"].name, perturbation="gene", values="counts")
    assert own_source(own).card.source == "simulated"


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": {"sha256": "0"}}', '{"a": {"sha256": "0", "size": 1, "real": true}}']
)
def test_a_list_that_cannot_be_read_is_refused(files, text):
    folder = files["k562"].parent
    (folder / LIST).write_text(text)
    with pytest.raises(DataError, match=LIST):
        find_card("replogle", folder)
