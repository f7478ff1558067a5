"""The harnesses, in processes of their own: they fork, which a process of pytest with its threads should not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(module: str, *options: str) -> None:
    """Run a harness, which says what it found and ends with 1 if that is a fault."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-m", f"tests.faults.{module}", *options]
    done = subprocess.run(command, env=os.environ | one_thread, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]


def test_each_kind_of_damage_once():
    run("damaged_files", "--sample")


def test_runs_killed_a_few_times():
    run("killed_runs", "--kills", "4")


def test_disks_full_a_few_times():
    run("full_disks", "--tries", "2", "--pairs", "1")


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
