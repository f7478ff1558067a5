"""What there is, as tables, and as the command prints it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import benchmarks as cb
from benchmarks import registry
from benchmarks.cli.app import application
from benchmarks.errors import PluginError
from benchmarks.tasks.suites import SUITES


def test_tables_have_a_row_for_each_name() -> None:
    assert list(cb.models()["model"]) == list(registry.available())
    assert set(cb.suites()["suite"]) == set(SUITES)
    assert cb.metrics()["metric"].is_unique
    assert cb.metrics().set_index("metric").loc["mse", "higher_is_better"] == False  # noqa: E712 - a NumPy bool
    for table in (cb.models(), cb.suites(), cb.metrics()):
        assert (table.select_dtypes(object).map(lambda cell: isinstance(cell, str))).all(axis=None)


def test_plugins_are_listed(tmp_path: Path) -> None:
    text = registry.TEMPLATE.read_text(encoding="utf-8").replace('"_template"', '"mine"')
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert "mine" in set(cb.models([tmp_path / "mine.py"])["model"])
    with pytest.raises(PluginError):
        cb.models([str(tmp_path / "nowhere.py")])


def test_command_prints_what_the_tables_have() -> None:
    done = CliRunner().invoke(application("run"), ["--list"], catch_exceptions=False, env={"COLUMNS": "500"})
    for name in (*cb.models()["model"], *cb.suites()["suite"], *cb.metrics()["metric"]):
        assert f"  {name}  " in done.output or f"\n{name} " in done.output, name


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_light() -> None:
    heavy = ["numpy", "pandas", "torch", "anndata", "matplotlib", "scipy", "benchmarks.api"]
    assert run_python(f"import sys, benchmarks; print([n for n in {heavy} if n in sys.modules])") == "[]"


def test_lists_of_the_command_need_no_pandas() -> None:
    code = "from benchmarks.cli.listing import Deferred, print_lists; print_lists(()); import sys"
    assert run_python(f"{code}; print(isinstance(sys.modules['pandas'], Deferred))").splitlines()[-1] == "True"


def test_names_of_the_package_are_found() -> None:
    assert set(cb.__all__) <= set(dir(cb))
    assert all(callable(getattr(cb, name)) for name in cb.__all__)
    with pytest.raises(AttributeError, match="evalute"):
        cb.evalute  # noqa: B018


def test_run_stays_the_function_whatever_is_imported() -> None:
    code = "import benchmarks.run; import benchmarks as cb; print(callable(cb.run), callable(benchmarks.run))"
    assert run_python(code) == "True True"
