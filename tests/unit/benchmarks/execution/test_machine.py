"""Limits of control groups, read from files as the kernel writes them."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import cpu_count

from benchmarks.execution.machine import free_memory, tell_busy, usable_cores

MB = 2**20
UNLIMITED_V1 = str(2**63 - 4096)


def machine(root: Path, own: str, **files: str) -> Path:
    """Write a machine's files: what `/proc/self/cgroup` says, and files of groups."""
    contents = {"proc/self/cgroup": own} | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def group(folder: str, **files: str) -> dict[str, str]:
    """Files of one group; `memory_max` is memory.max."""
    return {f"{folder}/{name.replace('_', '.', 1)}": text for name, text in files.items()}


def test_a_machine_without_groups_has_what_psutil_and_joblib_say(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert usable_cores(tmp_path) == cpu_count()


def test_container_of_version_2(tmp_path: Path) -> None:
    stat = f"anon {100 * MB}\nfile {60 * MB}\ninactive_file {50 * MB}\nactive_file {10 * MB}"
    files = group("", memory_max=str(400 * MB), memory_high="max", memory_current=str(200 * MB), memory_stat=stat)
    root = machine(tmp_path, "0::/", **files)
    assert free_memory(root) == 250 * MB


def test_slurm_step_of_version_2_has_the_least_of_all_groups_around_it(tmp_path: Path) -> None:
    step = "system.slice/slurmstepd.scope/job_7/step_batch/user/task_0"
    files = group(step, memory_max="max", memory_current="4096", memory_stat="inactive_file 0")
    files |= group("system.slice/slurmstepd.scope/job_7", memory_max=str(900 * MB), memory_current=str(600 * MB))
    files |= group("system.slice", memory_max="max", memory_current=str(700 * MB))
    assert free_memory(machine(tmp_path, f"0::/{step}", **files)) == 300 * MB


def test_group_of_version_1(tmp_path: Path) -> None:
    stat = f"inactive_file 0\ntotal_inactive_file {20 * MB}"
    own = {"limit_in_bytes": str(256 * MB), "usage_in_bytes": str(56 * MB), "stat": stat}
    files = {f"memory/slurm/uid_0/job_7/memory.{name}": text for name, text in own.items()}
    files |= {"memory/memory.limit_in_bytes": UNLIMITED_V1, "memory/memory.usage_in_bytes": "0"}
    lines = "9:name=systemd:/user.slice\n5:cpu,cpuacct:/slurm\n4:memory:/slurm/uid_0/job_7\n0::/"
    assert free_memory(machine(tmp_path, lines, **files)) == 220 * MB


def test_container_of_version_1_that_does_not_see_the_folder_of_its_group(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": str(128 * MB), "memory/memory.usage_in_bytes": str(28 * MB)}
    files |= {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}
    root = machine(tmp_path, "5:cpu,cpuacct:/docker/0123\n4:memory:/docker/0123", **files)
    assert free_memory(root) == 100 * MB
    assert usable_cores(root) == 1


def test_a_full_group_has_nothing_free(tmp_path: Path) -> None:
    files = group("", memory_max=str(MB), memory_current=str(2 * MB))
    assert free_memory(machine(tmp_path, "0::/", **files)) == 0


@pytest.mark.parametrize("limit", ["max 100000", "100000000 100000"])
def test_processor_time_beyond_the_cores_is_no_limit(tmp_path: Path, limit: str) -> None:
    assert usable_cores(machine(tmp_path, "0::/", **group("", cpu_max=limit))) == cpu_count()


@given(quota=st.integers(1000, 10**7), period=st.integers(1000, 10**6))
def test_processor_time_is_rounded_up_to_cores(
    tmp_path_factory: pytest.TempPathFactory, quota: int, period: int
) -> None:
    own = group("a/b", cpu_max="max 100000") | group("a", cpu_max=f"{quota} {period}")
    root = machine(tmp_path_factory.mktemp("machine"), "0::/a/b", **own)
    assert usable_cores(root) == min(cpu_count(), math.ceil(quota / period))


@pytest.mark.parametrize(
    ("threads", "used", "expected"), [(1, 8.0, False), (2, 0.3, False), (2, 1.0, True), (4, 0.0, False), (5, 0.0, True)]
)
def test_a_busy_machine_is_mentioned_where_threads_would_wait(
    monkeypatch, threads: int, used: float, expected: bool
) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: {1: 8, 2: 2}.get(threads, 4))
    assert bool(tell_busy(threads, used)) is expected


def test_cores_in_use_are_measured(monkeypatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 100.0 if interval else 0.0)
    assert "2.0 of this machine's 2 cores" in tell_busy(2)
