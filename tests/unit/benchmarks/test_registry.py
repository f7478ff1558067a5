"""The registry: names, near misses, plugins by path, entry points, duplicates."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from benchmarks import confinement, registry
from benchmarks.contract import Baseline, Can, Prediction
from benchmarks.errors import ContractError, PluginError, UnknownName
from tests.end_to_end import plugins


def test_built_in_names():
    names = set(registry.available())
    assert {
        "no_change",
        "train_mean",
        "train_control",
        "context_transfer",
        "linear",
        "additive",
        "knn",
        "linear_go",
        "ot_barycentric",
        "gsfa_like",
        "grn_propagation",
        "own_gene",
        "scgen",
        "gears",
        "cycseq_n2p",
        "cycseq_p2n",
        "cycseq_plus_n2p",
        "cycseq_plus_p2n",
    } <= names
    assert not any(name.startswith("_") for name in names)
    assert registry.find("cycseq_n2p").training == registry.find("cycseq_p2n").training == "cycseq"
    assert registry.find("cycseq_plus_n2p").training == registry.find("cycseq_plus_p2n").training == "cycseq_plus"


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UnknownName, match=r"Unknown model 'scgn'. Did you mean 'scgen'\? Known: .*train_mean"):
        registry.find("scgn")


def test_a_plugin_is_found_by_path_and_a_taken_name_is_refused(tmp_path):
    good = plugins.write(tmp_path, "good")
    assert registry.find("good", [good]).summary == "a test plugin"
    taken = tmp_path / "linear.py"
    taken.write_text(good.read_text().replace('"good"', '"linear"'))
    with pytest.raises(PluginError, match="Two predictors are named 'linear'"):
        registry.available([taken])


def test_a_plugin_is_imported_once_for_all_names(tmp_path, monkeypatch):
    asked, ask = [], registry._ask
    monkeypatch.setattr(registry, "_ask", lambda origin, **request: asked.append(origin) or ask(origin, **request))
    names = ("good", "dies", "no_change")
    files = [plugins.write(tmp_path, name) for name in names[:2]]
    assert tuple(registry.find_all(names, files)) == names
    assert sorted(asked) == sorted(str(path.resolve()) for path in files)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_package", "cannot be imported: ModuleNotFoundError"),
        ("def x(:", "SyntaxError"),
        ("x = 1", "no BASELINE"),
        ("BASELINE = 'linear'", "found str"),
    ],
)
def test_files_that_are_no_plugins(tmp_path, text, words):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(PluginError, match=words):
        registry.from_file(path)
    with pytest.raises(PluginError, match="does not exist"):
        registry.from_file(tmp_path / "other.py")


def test_the_records_name_is_the_files(tmp_path):
    path = plugins.write(tmp_path, "good").rename(tmp_path / "other.py")
    with pytest.raises(PluginError, match="expected the file's name, 'other'"):
        registry.from_file(path)


def test_entry_points_bring_predictors(monkeypatch, tmp_path):
    (tmp_path / "outside_package.py").write_text(plugins.write(tmp_path, "good").read_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = importlib.metadata.EntryPoints(
        [importlib.metadata.EntryPoint("good", "outside_package:BASELINE", registry.ENTRY_POINTS)]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries.select(group=group))
    assert registry.find("good").source == "tests"


def test_records_and_predictions_check_themselves():
    with pytest.raises(ContractError, match="my model"):
        Baseline(name="my model", build=Path, directions=("n2p",), summary="s", source="s")
    with pytest.raises(ContractError, match="expected some of"):
        Baseline(name="m", build=Path, directions=("up",), summary="s", source="s")  # type: ignore[arg-type]
    with pytest.raises(ContractError, match=r"Can.dose is 'maybe'"):
        Can(dose="maybe")  # type: ignore[arg-type]
    for values, unit, words in (
        ([[float("nan")]], "cell", "1 NaN"),
        ([], "cell", "not empty"),
        ([[1, 2], [3, 4]], "mean", "2 rows"),
        ([["a"]], "cell", "no array of numbers"),
        ([[1.0]], "cells", "expected one of"),
    ):
        with pytest.raises(ContractError, match=words):
            Prediction(values, unit=unit)  # type: ignore[arg-type]


@pytest.mark.skipif(not confinement.version(), reason="this kernel has no Landlock")
def test_plugin_leaves_no_file_behind_when_it_is_imported(tmp_path):
    text = registry.TEMPLATE.read_text(encoding="utf-8").replace('"_template"', '"leaves"')
    stash = tmp_path / "stash"
    attempt = f"\ntry:\n    open({str(stash)!r}, 'w').close()\nexcept OSError:\n    pass\n"
    (tmp_path / "leaves.py").write_text(text + attempt, encoding="utf-8")
    assert [record.name for record in registry.from_file(tmp_path / "leaves.py")] == ["leaves"]
    assert not stash.exists()
