"""The conformance suite on every built-in predictor and the template, and on predictors with planted faults."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import registry
from benchmarks.cli.app import application
from benchmarks.conformance import capabilities, checks
from benchmarks.conformance.checks import Screen
from benchmarks.contract import Can
from benchmarks.registry import FOLDER, TEMPLATE
from tests.end_to_end import plugins

RECORDS = {**registry.available(), "_template": registry.from_file(TEMPLATE)[0]}
TRAININGS = {record.training: name for name, record in RECORDS.items() if not record.settings}
"""One predictor of each training: the two directions of CycSeq share theirs, and `cycseq_pretrained` is a part of it."""
SLOW = {"scvi", "biolord", "cycseq_plus_p2n", *(name for name, record in RECORDS.items() if record.isolated)}
"""Networks with long trainings (the adapter of "cycseq_plus" is tested with "cycseq"), and models whose environment has to be
installed from a package index."""
SHORT = {
    "gears": {"epochs": 1, "max_cells_per_condition": 3},
    "scgen": {"epochs": 1},
    "scvi": {"epochs": 2},
    "biolord": {"epochs": 2},
    "cycseq": {"pretrain_epochs": 1, "finetune_epochs": 1, "draws": 4},
    "cycseq_plus": {"pretrain_epochs": 1, "draws": 4},
}
"""Shorter quick settings, by training: the contract is about inputs and outputs, not about quality."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in sorted(TRAININGS.values())]
)
def test_built_in_predictor_keeps_the_contract(name: str, screen: Screen) -> None:
    record = RECORDS[name]
    shorter = {name: value for name, value in SHORT.get(record.training, {}).items() if name in record.quick}
    short = replace(record, quick={**record.quick, **shorter})
    problems = {r.name: r.problem for r in checks.check(short, screen) if r.problem}
    assert not problems


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if RECORDS[n].full_training else ()) for n in sorted(TRAININGS.values())],
)
def test_built_in_predictor_has_the_capabilities_of_its_record(name: str, screen: Screen) -> None:
    results = capabilities.check_abilities(RECORDS[name], screen)
    assert [r.name for r in results] == [f"can_{entry.name}" for entry in fields(Can)], "states all of them"
    assert not {r.name: r.problem for r in results if r.problem}


@pytest.mark.parametrize(
    ("stated", "predict", "words"),
    [
        ("no", "return Prediction(query.cells.X.toarray(), unit='cell')", "is 'no', but it answered"),
        ("yes", "return Prediction(query.cells.X.toarray(), unit='cell')", "say 'ignored'"),
        ("yes", "raise Unsupported('never')", "but it raised Unsupported: never"),
        ("fallback", "return Prediction(query.cells.X.toarray(), unit='cell')", "no note that says with what"),
        (
            "ignored",
            "return Prediction(query.cells.X.toarray() + len(query.perturbation + str(query.dose)), unit='cell')",
            "differs from that to the same question",
        ),
    ],
)
def test_wrong_capabilities_are_found(stated: str, predict: str, words: str, screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "boasts.py").write_text(plugins.HEAD.format(name="boasts", fit="pass", predict=predict))
    record = registry.from_file(tmp_path / "boasts.py")[0]
    assert capabilities.check_abilities(record, screen) == [], "capabilities that are not stated are not checked"
    results = capabilities.check_abilities(replace(record, can=Can(combination=stated, dose=stated)), screen)  # type: ignore[arg-type]
    assert [r.name for r in results] == ["can_combination", "can_dose"]
    assert all(words in r.problem for r in results)


def test_built_in_predictors_import_nothing_heavy() -> None:
    assert checks.heavy_imports(*sorted(FOLDER.glob("[!_]*.py")), TEMPLATE) == []


def test_template_is_short_and_passes_the_command() -> None:
    assert len(TEMPLATE.read_text().splitlines()) <= 40
    done = CliRunner().invoke(application("check"), [str(TEMPLATE)])
    assert done.exit_code == 0, done.output
    assert "All checks passed" in done.output


@pytest.mark.parametrize(
    ("name", "failing"),
    [
        ("raises_in_fit", "runs"),
        ("returns_nan", "runs"),
        ("wrong_shape", "runs"),
        ("changes_training", "runs"),
        ("declines", "answers_something"),
    ],
)
def test_contract_violations_are_found(name: str, failing: str, screen: Screen, tmp_path: Path) -> None:
    record = registry.from_file(plugins.write(tmp_path, name))[0]
    problems = {r.name for r in checks.check(record, screen) if r.problem}
    assert failing in problems


@pytest.mark.parametrize(
    ("body", "failing"),
    [
        ("self.shift = np.random.default_rng().normal()", "repeats_itself"),
        ("self.shift = np.random.normal()", "keeps_random_state"),
    ],
)
def test_unseeded_randomness_is_found(body: str, failing: str, screen: Screen, tmp_path: Path) -> None:
    text = plugins.HEAD.format(
        name="loose", fit=body, predict="return Prediction(query.cells.X.toarray() + self.shift, unit='cell')"
    )
    (tmp_path / "loose.py").write_text(text)
    record = registry.from_file(tmp_path / "loose.py")[0]
    assert failing in {r.name for r in checks.check(record, screen) if r.problem}


def test_dependence_on_earlier_queries_is_found(screen: Screen, tmp_path: Path) -> None:
    text = plugins.HEAD.format(
        name="counts",
        fit="self.n = 0",
        predict="self.n += 1; return Prediction(query.cells.X.toarray() + self.n, unit='cell')",
    )
    (tmp_path / "counts.py").write_text(text)
    record = registry.from_file(tmp_path / "counts.py")[0]
    assert "forgets_queries" in {r.name for r in checks.check(record, screen) if r.problem}


@pytest.mark.parametrize(
    ("needs", "fit", "failing"),
    [
        ("profiles", "self.x = train.cells.X.sum()", {"runs"}),
        ("profiles", "self.x = next(train.batches(8, seed))", {"runs"}),
        ("profiles", "self.x = train.profiles.mean, train.controls.X.sum()", set()),
        ("cells", "self.x = train.profiles.mean, train.controls.X.sum()", {"states_what_it_reads"}),
        ("cells", "self.x = train.cells.n_obs", set()),
        ("cells", "self.x = len(list(train.batches(100, seed)))", {"states_what_it_reads"}),
        ("blocks", "self.x = len(list(train.batches(100, seed)))", set()),
        ("blocks", "self.x = train.take(np.arange(3)[::-1]).sum(), len(train.obs)", set()),
        ("blocks", "self.x = train.profiles.mean", {"states_what_it_reads"}),
        ("blocks", "self.x = train.cells.n_obs", {"runs"}),
        ("profiles", "self.x = train.take(np.arange(3))", {"runs"}),
        ("profiles", "train.controls.X.data[:] = 0", {"runs"}),
    ],
)
def test_what_a_record_needs_is_what_it_reads(
    needs: str, fit: str, failing: set[str], screen: Screen, tmp_path: Path
) -> None:
    text = plugins.HEAD.format(name="reads", fit=fit, predict="return Prediction(query.cells.X.toarray(), unit='cell')")
    (tmp_path / "reads.py").write_text(text)
    record = replace(registry.from_file(tmp_path / "reads.py")[0], needs=needs)  # type: ignore[arg-type]
    assert {r.name for r in checks.check(record, screen) if r.problem} == failing


def test_heavy_imports_are_found(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(
        "import sklearn\n" + plugins.HEAD.format(name="heavy", fit="pass", predict="pass")
    )
    (tmp_path / "light.py").write_text(plugins.HEAD.format(name="light", fit="pass", predict="pass"))
    found = checks.heavy_imports(tmp_path / "light.py", tmp_path / "heavy.py")
    assert "heavy.py: sklearn" in found
    assert all(line.startswith("heavy.py: ") for line in found)
