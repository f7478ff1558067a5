"""Child processes start whatever the temporary folder is called, and do not run the program again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

START = """
import sys
from multiprocessing.connection import Connection
from benchmarks.child_processes import start_child

connection, process = start_child(Connection.send, "here")
print(connection.recv())
process.join()
assert sys.modules["__main__"].__dict__ is globals()
"""
"""A program without a guard for its own children."""


@pytest.mark.parametrize("length", [0, 75, 76, 90, 200])
def test_child_starts_with_a_temporary_folder_of_any_length(tmp_path, length):
    script = tmp_path / "start.py"
    script.write_text(START)
    folder = Path(f"{tmp_path}/".ljust(length, "t"))
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "here"), done.stderr
    assert not list(folder.glob("pymp-*"))


@pytest.mark.parametrize("package", ["benchmarks", "cycseq"])
@pytest.mark.parametrize(("given", "found"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_spin_briefly_unless_set_otherwise(package, given, found):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | given
    code = f"import {package}, os; print(os.environ['GOMP_SPINCOUNT'])"
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == found
