"""The command `cycseq-bench`: its subcommands, its version, and what its help imports."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

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


@pytest.mark.parametrize("arguments", [*((name, "--help") for name in COMMANDS), ("run", "--list")], ids=" ".join)
def test_help_and_lists_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from benchmarks.cli.app import app\n"
        f"try: app({list(arguments)!r})\n"
        "except SystemExit: print(*{name.split('.')[0] for name in sys.modules if '.' in name})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed = {"numpy", "scipy"} if "--list" in arguments else set()
    assert not set(done.stdout.splitlines()[-1].split()) & set(HEAVY) - allowed
