"""The command `cycseq-bench`: its subcommands, its version, and what its help imports."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app

COMMANDS = (
    "audits",
    "check",
    "data",
    "embedding",
    "enrichment",
    "environments",
    "fidelity",
    "regress",
    "report",
    "run",
    "score",
    "study",
)
HEAVY = ("anndata", "matplotlib", "numpy", "pandas", "scanpy", "scipy", "sklearn", "torch")


def test_help_lists_every_subcommand() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    for name in COMMANDS:
        assert name in done.output


def test_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == importlib.metadata.version("cycseq-bench")


def test_unknown_subcommand_is_refused() -> None:
    assert CliRunner().invoke(app, ["scores"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [*(([name, "--help"], HEAVY) for name in COMMANDS), (["run", "--list"], sorted({*HEAVY} - {"numpy", "scipy"}))],
    ids=lambda value: " ".join(value),
)
def test_help_and_lists_import_nothing_heavy(arguments: list[str], unwanted: Sequence[str]) -> None:
    code = (
        "import sys; from benchmarks.cli.app import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: print(sorted({m.split('.')[0] for m in sys.modules if '.' in m} & "
        f"{set(unwanted)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
