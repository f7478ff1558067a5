"""The command `cycseq-bench`: its subcommands, its version, and what its help imports."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.cli.console import exit_statuses
from benchmarks.data.store.atomic_files import write_csv
from benchmarks.errors import StoreError
from reports.formatting import save_table

COMMANDS = (
    "audits",
    "check",
    "collect",
    "data",
    "embedding",
    "enrichment",
    "environments",
    "fidelity",
    "import",
    "merge",
    "regress",
    "report",
    "run",
    "score",
    "study",
    "verify",
)
HEAVY = ("anndata", "matplotlib", "numpy", "pandas", "scanpy", "scipy", "sklearn", "torch")


def test_help_lists_every_subcommand() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    for name in COMMANDS:
        assert name in done.output


def test_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == importlib.metadata.version("cycseq-bench")


@pytest.mark.parametrize("arguments", [("--unit", "0"), ("a_folder",), ("--unit", "0", "a_folder")], ids=" ".join)
def test_unit_without_its_folder_or_its_number_is_refused(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["run", *arguments])
    assert done.exit_code == 2
    assert "Traceback" not in done.output


@pytest.mark.parametrize("command", ["study --only smoke", "audits --suite smoke --only direction"], ids=str)
def test_commands_that_run_several_boards_take_a_memory_limit(command: str, tmp_path: Path) -> None:
    for size in ("10K", "much"):
        done = CliRunner().invoke(app, [*command.split(), "--out", str(tmp_path / "out"), "--memory", size])
        assert done.exit_code == 2
        assert "--memory" in done.output


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


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_sigterm_ends_a_command_with_130_also_where_a_library_turns_it_into_an_error(raised, monkeypatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    @exit_statuses("")
    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt as error:
            raise raised from error

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 130
    assert signal.getsignal(signal.SIGTERM) is before


INTERRUPTED_IN = {
    "an archive": """
with path.open("wb") as handle:
    archive = zipfile.ZipFile(handle, "w")
    archive.writestr("a", "b")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
""",
    "a deletion": """
class Kept:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
kept = Kept()
del kept
time.sleep(20)
""",
}


@pytest.mark.parametrize("code", INTERRUPTED_IN.values(), ids=INTERRUPTED_IN)
def test_sigterm_in_the_midst_of_an_object_ends_a_command_without_a_traceback(code, tmp_path) -> None:
    """An archive complains when it is deleted after its file was closed; an exception in a deletion is dropped."""
    program = f"""
import os, pathlib, signal, time, typer, zipfile
from benchmarks.cli.console import exit_statuses
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
@exit_statuses("")
def main():
    path = pathlib.Path({str(tmp_path / "archive")!r})
{textwrap.indent(code, "    ")}
app()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")
    assert "Interrupted" in done.stdout


@pytest.mark.parametrize("write", [save_table, write_csv], ids=["table of a report", "table of a run"])
def test_a_folder_in_the_place_of_a_file_ends_a_command_with_2(write, tmp_path, capsys) -> None:
    (tmp_path / "table.csv").mkdir()

    @exit_statuses("")
    def command() -> None:
        write(pd.DataFrame({"a": [1]}), tmp_path / "table.csv")

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 2
    assert f"{tmp_path}/table.csv" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [tmp_path / "table.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
@pytest.mark.parametrize("arguments", [["list"], ["summary", "no_such_data"]], ids=lambda given: given[0])
def test_an_output_on_a_full_disk_ends_a_command_with_2(arguments) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "benchmarks.data", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (2, b"")


@pytest.mark.parametrize(("error", "status"), [(OSError(errno.ENOSPC, "No space left"), 2), (StoreError("damaged"), 2)])
def test_what_a_disk_refuses_ends_a_command_with_2(error, status) -> None:
    @exit_statuses("")
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == status


def test_a_fault_of_the_program_is_not_hidden() -> None:
    @exit_statuses("")
    def command() -> None:
        raise FileNotFoundError("a file of the program's own")

    with pytest.raises(FileNotFoundError):
        command()
