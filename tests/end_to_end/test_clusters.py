"""Runs on a Dask cluster whose processes are killed, or have another version of the code: nothing finished is lost."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from benchmarks.data.own_file import OwnFile
from benchmarks.errors import BenchmarkError, StoreError
from benchmarks.execution.events import Event, StageStarted, UnitEnded
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question
from tests.faults.processes import run_folder, tables, write_screen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
pytest.importorskip("distributed")
SIMPLE = Execution(figures=False)
DASK = replace(SIMPLE, executor="dask", jobs=2)
CODE = ("baselines", "benchmarks", "cycseq", "datasets", "reports")
PROJECT = Path(__file__).parents[2]
SECONDS = 300


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    write_screen(path, perturbations=3, genes=40)
    return path


@pytest.fixture(scope="module")
def expected(screen: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "suite" / "run"
    run(plan_of(screen), folder, SIMPLE)
    return tables(folder)


def plan_of(screen: Path) -> Plan:
    own = OwnFile(screen, context="line")
    return make_plan(Question(suite="", own=own, models=("no_change", "linear"), directions=("n2p",)))


def outcomes(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in out.rglob("outcome.json")}


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Workers that a LocalCluster in a process has started."""
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            found += [child] if "multiprocessing.spawn" in " ".join(child.cmdline()) else []
    return found


def test_unit_of_a_killed_worker_is_done_again(screen: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    killed = list[psutil.Process]()

    def watch(event: Event) -> None:
        if isinstance(event, StageStarted) and not killed:
            killed.extend(workers_of(psutil.Process()))
            for worker in killed:
                worker.kill()

    folder = tmp_path / "suite" / "run"
    result = run(plan_of(screen), folder, DASK, watch)
    assert killed
    assert result.failures == 0
    assert tables(folder) == expected


def test_killed_client_is_resumed(screen: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    asked = ["--h5ad", screen, "--context-key", "line", "--models", "no_change,linear", "--direction", "n2p"]
    more = [
        "--no-figures",
        "--executor",
        "dask",
        "--jobs",
        "1",
        "--threads",
        "1",
        "--out",
        tmp_path / "out",
        "--resume",
    ]
    command = [sys.executable, "-m", "benchmarks.run", *map(str, asked + more)]
    client = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: outcomes(tmp_path / "out") or client.poll() is not None)
    workers = workers_of(psutil.Process(client.pid))
    client.kill()
    client.wait()
    assert workers
    assert not psutil.wait_procs(workers, timeout=60)[1], "a worker outlived its client"
    kept = outcomes(tmp_path / "out")
    assert kept
    again = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout
    assert kept.items() <= outcomes(tmp_path / "out").items()
    assert tables(run_folder(tmp_path / "out")) == expected


def test_printed_lines_do_the_units_and_collect_them(screen: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "run"
    asked = ["--h5ad", screen, "--context-key", "line", "--models", "no_change,linear", "--direction", "n2p"]
    command = [sys.executable, "-m", "benchmarks.run", *map(str, asked), "--threads", "1", "--plan", str(folder)]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
    (submit,) = [shlex.split(line) for line in said if line.startswith("sbatch ")]
    assert submit[1:3] == ["--array=0-2", "--cpus-per-task=1"]
    for number in range(3):
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(number)}
        subprocess.run(["sh", "-c", submit[-1]], cwd=PROJECT, env=environment, check=True)
    (collecting,) = [line.removeprefix("Then: ") for line in said if line.startswith("Then: ")]
    subprocess.run(["sh", "-c", f"{collecting} --no-figures"], cwd=PROJECT, check=True)
    assert tables(folder) == expected


@dataclass
class Cluster:
    """A scheduler, and workers that are started one by one."""

    address: str
    processes: list[subprocess.Popen]

    def start(self, *command: str, path: Path = PROJECT) -> None:
        environment = os.environ | {"PYTHONPATH": str(path)}
        program = [sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]]
        process = subprocess.Popen(
            program, env=environment, cwd=path, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.processes.append(process)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    cluster = Cluster(f"tcp://127.0.0.1:{port}", [])
    cluster.start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    try:
        yield cluster
    finally:
        for process in reversed(cluster.processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start_worker(cluster: Cluster, path: Path = PROJECT) -> None:
    cluster.start("worker", cluster.address, "--nthreads", "1", "--no-dashboard", path=path)


def test_scheduler_that_dies_ends_the_run_and_what_finished_is_kept(
    cluster: Cluster, screen: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    start_worker(cluster)
    folder, seen = tmp_path / "suite" / "run", list[str]()

    def watch(event: Event) -> None:
        if isinstance(event, UnitEnded):
            seen.append(event.spec.record.name)
            cluster.processes[0].kill()

    with pytest.raises(BenchmarkError, match="--resume"):
        run(plan_of(screen), folder, replace(DASK, scheduler=cluster.address), watch)
    assert len(seen) >= 1
    assert "INCOMPLETE" in (folder / "leaderboard.md").read_text()
    with pytest.raises(BenchmarkError, match="cannot be reached"):
        run(plan_of(screen), folder, replace(DASK, scheduler=cluster.address))
    kept = outcomes(folder)
    run(plan_of(screen), folder, SIMPLE)
    assert kept.items() <= outcomes(folder).items()
    assert tables(folder) == expected


def test_worker_with_another_version_of_the_code_is_refused(cluster: Cluster, screen: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in CODE:
        shutil.copytree(PROJECT / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "benchmarks" / "seeds.py").open("a") as file:
        file.write("# changed\n")
    start_worker(cluster, other)
    folder = tmp_path / "suite" / "run"
    with pytest.raises(StoreError, match="another version of the code"):
        run(plan_of(screen), folder, replace(DASK, scheduler=cluster.address))
    assert not outcomes(folder)
