"""Kill runs at random moments, resume them, and compare their tables: `python -m tests.faults.killed_runs --kills 200`.

A run in a child says which files it is about to write (an audit hook of Python, nothing in the project is changed). A moment
is one of these writes in a stage of the run, and a random part of the time to the next one. Most moments lie where files are
written: predictions, the truth, tables.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.faults.processes import MODELS, fork, import_commands, run_folder, tables, warm_up, write_screen

STAGES = ("preparing", "training and scoring", "tables")
SHARES = (0.1, 0.55, 0.35)
"""How often a moment is chosen in each stage."""
WAYS = ("parent", "parent", "parent", "SIGTERM", "worker")
MOST_FAULTS = 20
"""After which no more runs are killed."""
SECONDS = 120
"""Within which a run must end."""
SECONDS_TO_END = 15.0
"""Within which the processes of a killed run must be gone."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
INTERRUPTED = 130


@dataclass
class Report:
    """What was killed, and what was wrong afterwards."""

    kills: Counter[str] = field(default_factory=Counter)
    """Kills by way and stage."""
    kept: int = 0
    """Files of finished trainings that were there at kills, all together."""
    compared: int = 0
    """Runs that came to their end after kills, whose tables were compared."""
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Write:
    """A file that a run is about to write, rename or remove."""

    stage: int
    """Position in `STAGES`."""
    gap: float
    """Seconds to the next write."""


class Started:
    """A run in a child process, and the writes that it reports."""

    def __init__(self, screen: Path, out: Path, jobs: int = 1, cache: Path | None = None) -> None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "tmp").mkdir(exist_ok=True)
        self.out, self.log, self.stage = out, out / "log.txt", 0
        reading, writing = os.pipe()
        arguments = ["run", "--h5ad", str(screen), "--context-key", "line", "--models", MODELS, "--direction", "n2p"]
        arguments += ["--folds", "2", "--no-figures", "--threads", "1", "--jobs", str(jobs), "--resume"]
        environment = {"CYCSEQ_CACHE": str(cache or out / "cache"), "TMPDIR": str(out / "tmp")}

        def work() -> int:
            os.close(reading)
            os.set_inheritable(writing, False)
            sys.addaudithook(lambda event, given: _report(writing, event, given))
            tempfile.tempdir = None
            from benchmarks.cli.app import app

            app([*arguments, "--out", str(out / "results")])
            return 0

        self.process = psutil.Process(fork(work, self.log, environment))
        os.close(writing)
        self._reading, self._rest = reading, b""

    def writes(self, seconds: float) -> Iterator[str]:
        """Yield the paths that are written; ends with the run, and after so many seconds without a write."""
        while select.select([self._reading], [], [], seconds)[0]:
            data = os.read(self._reading, 65536)
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                path = line.decode(errors="replace")
                if (stage := stage_of(path, self.out)) is not None:
                    self.stage = max(self.stage, stage)
                    yield path

    def ended(self) -> int:
        """Wait for the end: exit status, a negative one for a signal, or `None` where it takes too long."""
        for _ in self.writes(SECONDS):
            pass
        os.close(self._reading)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found, status = os.waitpid(self.process.pid, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        self.process.kill()
        os.waitpid(self.process.pid, 0)
        return 124

    def children(self) -> list[psutil.Process]:
        """All processes that the run has started."""
        with suppress(psutil.NoSuchProcess):
            return self.process.children(recursive=True)
        return []

    def workers(self) -> list[psutil.Process]:
        """Processes that train: the children of the fork server."""
        with suppress(psutil.NoSuchProcess):
            return [worker for child in self.process.children() for worker in child.children()]
        return []


def _report(pipe: int, event: str, given: tuple[Any, ...]) -> None:
    """Report an event of Python that changes a file."""
    if event == "open" and isinstance(given[0], str | os.PathLike) and given[2] & WRITES:
        path = os.fspath(given[0])
    elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"):
        path = os.fspath(given[1] if event == "os.rename" else given[0])
    else:
        return
    with suppress(OSError):
        os.write(pipe, (path if isinstance(path, str) else path.decode()).encode() + b"\n")


def stage_of(path: str, out: Path) -> int | None:
    """Say which stage a run is in that writes this file; None for what it may write in any."""
    if not path.startswith(str(out)):
        return None
    parts = path[len(str(out)) + 1 :].split("/")
    if parts[0] == "cache":
        return 0
    if parts[0] == "tmp" or {"predictions", "fitted", "training", "truth"} & set(parts):
        return 1
    name = parts[-1].lstrip(".")
    return 2 if len(parts) == 4 and not name.startswith(("manifest", "lock")) and "." in name else None


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file of every training that has ended without a failure."""
    from benchmarks.execution.prediction_store import get_outcome

    found = {}
    for path in (out / "results").glob("**/outcome.json"):
        outcome = get_outcome(path.parent)
        if outcome and outcome.key and not outcome.failed:
            found |= {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in path.parent.iterdir()}
    return found


def lost(before: dict[str, tuple[int, int]], out: Path) -> list[str]:
    """List what was finished and is gone, or was made again."""
    now = finished(out)
    return [
        f"{name} was finished, and {'made again' if name in now else 'lost'}"
        for name in before
        if now.get(name) != before[name]
    ]


class Killer:
    """Kills runs of one screen."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng, self.folder, self.report = np.random.default_rng(seed), folder, Report()
        self.screen = folder / "screen.h5ad"
        write_screen(self.screen, perturbations=3, genes=40)
        import_commands()
        warm_up(self.screen, folder / "warm")
        whole = Started(self.screen, folder / "whole")
        times = [(time.monotonic(), whole.stage) for _ in whole.writes(SECONDS)] + [(time.monotonic(), 2)]
        if (status := whole.ended()) != 0:
            raise RuntimeError(f"The undisturbed run ended with {status}:\n{whole.log.read_text()}")
        self.timeline = [Write(stage, after - now) for (now, stage), (after, _) in pairwise(times)]
        self.expected = self._tables(folder / "whole")

    def _tables(self, out: Path) -> dict[str, bytes]:
        found = run_folder(out / "results")
        return tables(found) if found else {}

    def kill_runs(self, kills: int) -> Report:
        """Kill until so many kills were made; a run is killed several times, and then comes to its end."""
        number = 0
        while sum(self.report.kills.values()) < kills and len(self.report.faults) < MOST_FAULTS:
            out, before = self.folder / f"run{number}", len(self.report.faults)
            stages = self.rng.choice(len(STAGES), size=int(self.rng.integers(1, 6)), p=SHARES)
            for stage in sorted(map(int, stages)):  # what is trained is not trained again
                self._kill(out, stage)
            self._finish(out)
            for fault in self.report.faults[before:]:
                print(f"{out.name}: {fault}", flush=True)
            if len(self.report.faults) == before:
                shutil.rmtree(out)
            number += 1
            print(f"{sum(self.report.kills.values())} kills, {self.report.compared} runs compared", flush=True)
        return self.report

    def _kill(self, out: Path, stage: int) -> None:
        """Start or resume a run, and kill it at a random moment of a stage, or when it is beyond it."""
        before = finished(out)
        self.report.kept += len(before)
        run = Started(self.screen, out, jobs=int(self.rng.integers(1, 3)))
        moments = [write for write in self.timeline if write.stage == stage]
        number = int(self.rng.integers(0, len(moments)))
        seen = 0
        for _ in run.writes(SECONDS):
            seen += run.stage == stage
            if run.stage > stage or seen > number:
                break
        time.sleep(float(self.rng.uniform(0, 1)) * min(moments[number].gap, 1.0))
        self._end(run, str(self.rng.choice(WAYS)))
        self.report.faults += lost(before, out)

    def _end(self, run: Started, way: str) -> None:
        left, status, at = run.children(), None, run.stage
        workers = run.workers()
        if way == "worker" and workers:
            with suppress(psutil.NoSuchProcess):
                workers[int(self.rng.integers(0, len(workers)))].kill()
            allowed = (0, 1)
        else:
            way = "parent" if way == "worker" else way
            with suppress(psutil.NoSuchProcess):
                run.process.send_signal(signal.SIGTERM if way == "SIGTERM" else signal.SIGKILL)
            allowed = (INTERRUPTED, 0) if way == "SIGTERM" else (-signal.SIGKILL, 0)
        status = run.ended()
        self.report.kills[f"{way}, {STAGES[at]}"] += 1
        said = run.log.read_text(errors="replace")
        if status not in allowed or "Traceback (most recent call last)" in said:
            shown = said[said.find("Traceback (most recent call last)") :]
            self.report.faults.append(f"{way} killed in {STAGES[at]}: exit status {status}: {shown[-3000:]}")
        self.orphans = [*getattr(self, "orphans", []), *left]

    def _finish(self, out: Path) -> None:
        """Resume a run until its end (what failed because a worker was killed is tried again), and compare its tables."""
        before = finished(out)
        run = Started(self.screen, out)
        status = run.ended()
        self.report.faults += lost(before, out)
        if status:
            self.report.faults.append(
                f"{out}: resumed, exit status {status}: {run.log.read_text(errors='replace')[-1500:]}"
            )
        found = self._tables(out)
        self.report.faults += [
            f"{out}: {name} differs" for name in self.expected if found.get(name) != self.expected[name]
        ]
        for process in psutil.wait_procs(self.orphans, SECONDS_TO_END)[1]:
            with suppress(psutil.NoSuchProcess):
                self.report.faults.append(f"{process.pid} ({' '.join(process.cmdline()[:4])}) outlived its killed run")
        self.orphans = []
        self.report.compared += 1


def main() -> int:
    """Kill runs, print what was found; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which is kept")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="killed-runs-") as temporary:
        report = Killer(options.seed, (options.keep or Path(temporary)).resolve()).kill_runs(options.kills)
    seconds = time.monotonic() - begun
    print(
        f"seed {options.seed}: {sum(report.kills.values())} kills in {seconds:.0f} s; {report.compared} runs compared"
    )
    for name, n in sorted(report.kills.items()):
        print(f"{n:5d} {name}")
    print("\n".join(report.faults) or "nothing was lost")
    return bool(report.faults)


if __name__ == "__main__":
    sys.exit(main())
