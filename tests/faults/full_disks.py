"""Fill the disk while commands write, and run commands side by side: `python -m tests.faults.full_disks --tries 60`.

A disk is full in one of two ways. `file`: no file may grow beyond a random size (`RLIMIT_FSIZE`), which needs no rights and
reaches every large file in its middle. `disk`: what is written goes to a small file system in memory of a random size, which
needs a user namespace or root; without either these tries are left out, and counted.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults.processes import MODELS, fork, import_commands, tables, warm_up, write_screen

NEW_USERS, NEW_MOUNTS = 0x10000000, 0x00020000
NO_NAMESPACE = 77
STATUSES = (0, 1, 2)
"""A full disk is an error of the user's, or conditions that failed."""


@dataclass
class Report:
    """What was tried, and what was wrong."""

    tries: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Disks:
    """Commands on disks that are full."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng, self.folder, self.report = np.random.default_rng(seed), folder, Report()
        self.screen, self.log = folder / "screen.h5ad", folder / "log.txt"
        write_screen(self.screen, perturbations=3, genes=40)
        import_commands()
        warm_up(self.screen, folder / "warm")
        self.expected: dict[str, dict[str, bytes]] = {}
        self.sizes: dict[str, list[int]] = {}
        for name in ("run", "prepare", "score"):
            place = folder / "whole" / name
            place.mkdir(parents=True)
            if (status := self._call(self._commands(place)[name])) not in STATUSES[:2]:
                raise RuntimeError(f"{name} on a whole disk ended with {status}: {self.log.read_text()}")
            self.expected[name] = self._tables(place)
            self.sizes[name] = sorted(p.stat().st_size for p in place.rglob("*") if p.is_file() and p.stat().st_size)

    def _commands(self, place: Path) -> dict[str, list[str]]:
        keys, quick = ["--context-key", "line"], ["--no-figures", "--threads", "1"]
        own = ["--h5ad", str(self.screen), *keys]
        run = ["run", *own, "--models", MODELS, "--direction", "n2p", "--folds", "1", *quick, "--executor", "inline"]
        score = ["score", str(self.screen), "--truth", str(self.screen), *keys, *quick, "--no-calibrate"]
        return {
            "run": [*run, "--resume", "--out", str(place / "out")],
            "prepare": ["data", "summary", *own, "--out", str(place / "out")],
            "score": [*score, "--out", str(place / "out")],
        }

    def _call(self, arguments: list[str], before: Callable[[], int] = lambda: 0) -> int:
        """Run a command in a child; returns its exit status, a negative one for a signal."""
        out = Path(arguments[-1])
        environment = {"CYCSEQ_CACHE": str(out.parent / "cache"), "TMPDIR": str(self.folder)}

        def work() -> int:
            from benchmarks.cli.app import app

            if status := before():
                return status
            app(arguments)
            return 0

        return os.waitstatus_to_exitcode(os.waitpid(fork(work, self.log, environment), 0)[1])

    def _tables(self, place: Path) -> dict[str, bytes]:
        folders = sorted({p.parent for p in (place / "out").rglob("*.csv") if p.parent.name not in ("splits",)})
        return {name: data for folder in folders for name, data in tables(folder).items()}

    def fill(self, tries: int) -> Report:
        """Fill a disk so many times; what was begun must go on when there is room."""
        for number in range(tries):
            name, way = (str(self.rng.choice(options)) for options in (list(self.expected), ["file", "disk"]))
            place = self.folder / f"try{number}"
            place.mkdir()
            size = self._size(name, way)
            status = self._on_full_disk(name, place, size) if way == "disk" else self._limited(name, place, size)
            self.report.tries[f"{name}, {way}: status {status if status != NO_NAMESPACE else 'left out'}"] += 1
            if status not in (*STATUSES, NO_NAMESPACE) or "Traceback (most recent" in self.log.read_text(
                errors="replace"
            ):
                self._fault(f"{number}: {name}, {way} full at {size} bytes: status {status}")
            if (status := self._call(self._commands(place)[name])) not in STATUSES[:2]:
                self._fault(f"{number}: {name} with room again: status {status}")
            found = self._tables(place)
            moved = [table for table, data in self.expected[name].items() if found.get(table) != data]
            if moved:
                self.report.faults.append(f"{number}: {name}, {way} full at {size} bytes: other {', '.join(moved)}")
            shutil.rmtree(place)
        return self.report

    def _fault(self, what: str) -> None:
        self.report.faults.append(f"{what}: {self.log.read_text(errors='replace')[-800:]}")

    def _size(self, name: str, way: str) -> int:
        sizes = self.sizes[name]
        if way == "disk":
            return int(self.rng.uniform(0, sum(sizes)))
        return int(self.rng.uniform(0, sizes[int(self.rng.integers(0, len(sizes)))]))

    def _limited(self, name: str, place: Path, size: int) -> int:
        def limit() -> int:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            return 0

        handle = self.log.open("wb")  # a pipe would be exempt from the limit; the log is small
        handle.close()
        return self._call(self._commands(place)[name], limit)

    def _on_full_disk(self, name: str, place: Path, size: int) -> int:
        """Run on a file system of a size that only a child sees, and keep what was written."""
        mounted, kept = place / "out", place / "kept"
        mounted.mkdir()

        def inside() -> int:
            if not _mount(mounted, size):
                return NO_NAMESPACE
            status = self._call(self._commands(place)[name])
            shutil.copytree(mounted, kept)
            return status if status >= 0 else 128 - status

        outer = self.folder / "outer.txt"
        status = os.waitstatus_to_exitcode(os.waitpid(fork(inside, outer), 0)[1])
        mounted.rmdir()
        if kept.is_dir():
            kept.rename(mounted)
        return status

    def side_by_side(self, tries: int) -> Report:
        """Run two commands at once on an empty cache, into one folder of results or into two."""
        for number in range(tries):
            place = self.folder / f"pair{number}"
            same = bool(self.rng.random() < 0.5)
            outs = [place / "a" / "out", place / ("a" if same else "b") / "out"]
            children = []
            for n, out in enumerate(outs):
                environment = {"CYCSEQ_CACHE": str(place / "cache"), "TMPDIR": str(self.folder)}
                arguments = self._commands(out.parent)["run"]
                children.append(
                    fork(lambda arguments=arguments: _app(arguments), self.folder / f"log{n}.txt", environment)
                )
            found = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            said = [(self.folder / f"log{n}.txt").read_text(errors="replace") for n in range(2)]
            self.report.tries[f"two runs, {'one folder' if same else 'one cache'}: status {sorted(found)}"] += 1
            allowed = [[0, 0], [0, 2]] if same else [[0, 0]]
            if sorted(found) not in allowed or any("Traceback (most recent" in text for text in said):
                self.report.faults.append(f"pair {number}: status {found}: {said[0][-600:]} {said[1][-600:]}")
            for manifest in place.rglob("manifest.json"):
                done = tables(manifest.parent)
                moved = [name for name, data in self.expected["run"].items() if done.get(name) != data]
                self.report.faults += [f"pair {number}: other {', '.join(moved)}"] if moved else []
            shutil.rmtree(place)
        return self.report


def _app(arguments: list[str]) -> int:
    from benchmarks.cli.app import app

    app(arguments)
    return 0


def _mount(place: Path, size: int) -> bool:
    """Put a small file system in memory at a folder, for this process and its children only."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = NEW_MOUNTS if os.geteuid() == 0 else NEW_MOUNTS | NEW_USERS
    if libc.unshare(flags):
        return False
    libc.mount(b"none", b"/", None, 0x40000 | 0x4000, None)  # private: nothing is seen outside
    options = f"size={max(size, 4096)}".encode()
    return libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, options) == 0


def main() -> int:
    """Fill disks, print what was found; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="full-disks-") as temporary:
        disks = Disks(options.seed, Path(temporary).resolve())
        disks.fill(options.tries)
        report = disks.side_by_side(options.pairs)
    for name, n in sorted(report.tries.items()):
        print(f"{n:5d} {name}")
    print("\n".join(report.faults))
    print(f"seed {options.seed}: {len(report.faults)} faults in {sum(report.tries.values())} tries")
    return bool(report.faults)


if __name__ == "__main__":
    sys.exit(main())
