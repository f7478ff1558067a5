"""Time, memory and disk of a command: `python -m tests.bench.process_tree [--folder DIR] [--to FILE] -- COMMAND ...`.

The memory of the command's process and of all its descendants is read several times a second and summed: proportional set size
(PSS), in which a page that several processes share counts once, or resident set size where the system has no PSS. The largest
sum is the peak. Peaks shorter than the time between two readings can be missed; `largest_process_gb` is the kernel's own record of
the largest single process. The result is one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

EVERY = 0.2
"""Seconds between two readings of memory."""
SHARE = 0.05
"""Largest share of the time that reading memory takes, and that walking through the folders takes; both are done less often where
there are many processes or files."""
GB = 1e9
KERNEL_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes of one unit of `ru_maxrss`."""


@dataclass(frozen=True)
class Measured:
    """What one command took."""

    command: tuple[str, ...]
    status: int
    """Exit status; negative: the signal that ended it."""
    seconds: float
    cpu_seconds: float
    """User and system time of all processes, as it was last read of each."""
    peak_gb: float
    """Largest sum over all processes, GB (10⁹ bytes)."""
    kind: str
    """"pss", or "rss" where a reading of PSS was not possible."""
    processes: int
    """Number of processes at the peak."""
    largest_process_gb: float
    """Largest resident set size of any single process that was waited for, GB, from the kernel."""
    disk_gb: Mapping[str, float] = field(default_factory=dict)
    """Folder → GB on disk at its peak, beyond what it had at the start."""
    disk_peak_gb: float = 0.0
    """Largest sum over the folders, GB, beyond what they had at the start."""


class ProcessTree:
    """A process and all its descendants, also those whose parents have ended; memory is summed over them."""

    def __init__(self, root: int) -> None:
        self._known = {psutil.Process(root)}
        self.peak, self.processes, self.kind = 0, 0, "pss"
        self._cpu: dict[psutil.Process, float] = {}

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all processes, those that have ended too, as it was last read."""
        return sum(self._cpu.values())

    def read(self) -> int:
        """Sum the memory of all processes, bytes, and remember the largest sum."""
        living = self._living()
        for process in living:
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._cpu[process] = times.user + times.system
        sizes = [size for process in living if (size := self._size(process))]
        if sum(sizes) > self.peak:
            self.peak, self.processes = sum(sizes), len(sizes)
        return sum(sizes)

    def _living(self) -> set[psutil.Process]:
        children = defaultdict(list)
        for process in psutil.process_iter(["ppid"]):
            children[process.info["ppid"]].append(process)
        waiting = [process for process in self._known if process.is_running()]
        self._known = set()
        while waiting:
            process = waiting.pop()
            if process not in self._known:
                self._known.add(process)
                waiting += children[process.pid]
        return self._known

    def _size(self, process: psutil.Process) -> int:
        try:
            found = process.memory_full_info()
            if hasattr(found, "pss"):
                return int(found.pss)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            return 0
        except psutil.AccessDenied:
            pass
        with suppress(psutil.Error):
            self.kind = "rss"
            return int(process.memory_info().rss)
        return 0


class Folders:
    """Space that folders take on disk, beyond what they took at the start."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._start = {folder: disk_use(folder) for folder in folders}
        self.peaks = dict.fromkeys(folders, 0)
        self.peak = 0
        self._next = 0.0

    def read(self, *, now: bool = False) -> None:
        """Walk through the folders, unless the last walk was too short a time ago."""
        begun = time.perf_counter()
        if begun < self._next and not now:
            return
        grown = {folder: disk_use(folder) - start for folder, start in self._start.items()}
        self.peaks = {folder: max(peak, grown[folder]) for folder, peak in self.peaks.items()}
        self.peak = max(self.peak, sum(grown.values()))
        ended = time.perf_counter()
        self._next = ended + (ended - begun) / SHARE


def disk_use(folder: Path) -> int:
    """Bytes on disk of all files below a folder, each file once; files that vanish meanwhile count as none."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                found[status.st_dev, status.st_ino] = 512 * status.st_blocks
    return sum(found.values())


def measure(command: Sequence[str], folders: Sequence[Path] = (), every: float = EVERY, **options: Any) -> Measured:
    """Run a command to its end and measure it; `options` as of `subprocess.Popen`.

    Parameters
    ----------
    folders
        Folders whose growth is measured; they need not exist yet, and do not overlap.
    every
        Seconds between two readings, at least.

    Raises
    ------
    OSError
        The command cannot be started.
    """
    disk, before = Folders(folders), resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    with subprocess.Popen(list(command), **options) as process:
        tree = ProcessTree(process.pid)
        while process.poll() is None:
            begun_reading = time.process_time()
            tree.read()
            cost = time.process_time() - begun_reading
            disk.read()
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(every, cost / SHARE))
    seconds = time.perf_counter() - begun
    disk.read(now=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # of those that were waited for, exactly; processes of a fork server are not among them
    waited = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(
        command=tuple(command),
        status=process.returncode,
        seconds=seconds,
        cpu_seconds=max(tree.cpu_seconds, waited),
        peak_gb=tree.peak / GB,
        kind=tree.kind,
        processes=tree.processes,
        largest_process_gb=after.ru_maxrss * KERNEL_UNIT / GB,
        disk_gb={str(folder): peak / GB for folder, peak in disk.peaks.items()},
        disk_peak_gb=disk.peak / GB,
    )


def main() -> int:
    """Measure the command given and write one line of JSON; returns the command's exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="folder whose growth is measured; repeatable"
    )
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between two readings of memory")
    parser.add_argument("--to", type=Path, help="file that the line is appended to; default: standard output")
    parser.add_argument("command", nargs="+", help="behind --")
    given = parser.parse_args()
    found = measure(given.command, given.folder, given.every)
    line = json.dumps(asdict(found)) + "\n"
    if given.to:
        with given.to.open("a", encoding="utf-8") as file:
            file.write(line)
    else:
        print(line, end="")
    return found.status if found.status >= 0 else 128 - found.status


if __name__ == "__main__":
    sys.exit(main())
