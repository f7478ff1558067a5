"""The harnesses, in processes of their own: they fork, which a process of pytest with its threads should not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(*words: str) -> None:
    """Run harnesses, which say what they found and end with 1 if that is a fault."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "tests.faults", *words]
    done = subprocess.run(command, env=os.environ | one_thread, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]


@pytest.mark.timeout(600)
def test_each_kind_of_damage_once_some_kills_and_some_full_disks():
    kills, disks = ("killed_runs", "--kills", "4"), ("full_disks", "--tries", "2", "--pairs", "1")
    run("damaged_files", "--sample", "--", *kills, "--", *disks)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_two_thousand_damaged_files():
    run("damaged_files", "--files", "2000", "--seed", "15")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_kills():
    run("killed_runs", "--kills", "200", "--seed", "15")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_full_disks():
    run("full_disks", "--tries", "60", "--pairs", "6", "--seed", "15")
