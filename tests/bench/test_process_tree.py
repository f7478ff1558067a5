"""The measuring tool: sums over processes, finds descendants whose parents ended, and what folders grew by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.process_tree import disk_use, measure

MB = 1 << 20
HOLD = "import time; held = b'x' * (60 << 20); time.sleep(1.5)"
TWO = f"import subprocess, sys; [p.wait() for p in [subprocess.Popen([sys.executable, '-c', {HOLD!r}]) for _ in range(2)]]"
ORPHAN = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', {inner!r}]); time.sleep(1.5)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_memory_of_all_processes_is_summed():
    one, two = measure(python(HOLD), every=0.05), measure(python(TWO), every=0.05)
    assert 60 * MB < one.peak_gb * 1e9 < 110 * MB
    assert 120 * MB < two.peak_gb * 1e9 < 220 * MB
    assert two.processes == 3
    assert one.largest_process_gb * 1e9 > 60 * MB


def test_a_process_whose_parent_has_ended_still_counts():
    inner = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {HOLD!r}]); time.sleep(0.7)"
    found = measure(python(ORPHAN.format(inner=inner)), every=0.05)
    assert found.peak_gb * 1e9 > 60 * MB
    late = measure(python(f"import time; {'pass'}; time.sleep(0.3)"), every=0.05)
    assert late.peak_gb * 1e9 < 60 * MB  # the orphan of the other measurement is no part of this one


def test_folders_are_measured_at_their_peak_beyond_what_they_had(tmp_path: Path):
    (tmp_path / "old").write_bytes(bytes(5 * MB))
    code = f"""
import pathlib, time
file = pathlib.Path({str(tmp_path)!r}) / "new"
file.write_bytes(b"x" * (8 << 20)); time.sleep(0.6); file.unlink(); time.sleep(0.3)
"""
    found = measure(python(code), [tmp_path], every=0.05)
    assert 8 * MB <= found.disk_gb[str(tmp_path)] * 1e9 < 9 * MB
    assert found.disk_peak_gb == found.disk_gb[str(tmp_path)]


def test_two_names_of_one_file_count_once(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x" * MB)
    before = disk_use(tmp_path)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert disk_use(tmp_path) == before >= MB
    assert disk_use(tmp_path / "none") == 0


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_command_line_appends_one_line_and_exits_as_the_command(tmp_path: Path, code: str, status: int):
    to = tmp_path / "measured.jsonl"
    line = [sys.executable, "-m", "tests.bench.process_tree", "--to", str(to), "--", *python(code)]
    assert [subprocess.run(line, check=False).returncode for _ in range(2)] == [status, status]
    found = [json.loads(text) for text in to.read_text().splitlines()]
    assert len(found) == 2
    assert found[0]["command"] == python(code)
    assert found[0]["seconds"] > 0


def test_a_command_that_cannot_be_started_is_an_error():
    with pytest.raises(FileNotFoundError):
        measure(["no-such-command-here"])
