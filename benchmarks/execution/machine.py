"""What of this machine a process may use.

Containers, SLURM and systemd limit processes by control groups of Linux, version 1 or 2. psutil does not see these limits, and
joblib sees those of a container only.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from joblib import cpu_count

UNLIMITED = ("max", "-1")
SPARE = 0.5
"""Shortage of cores that is not mentioned."""


def free_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that are free for this process: those of the machine, or of the control group that has fewest."""
    return min([psutil.virtual_memory().available, *(_free(group) for group in _groups("memory", root))])


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use, by its affinity and by the processor time of its control groups; at least 1."""
    return min([cpu_count(), *(_cores(group) for group in _groups("cpu", root))])


def tell_busy(threads: int, used: float | None = None) -> str:
    """Say that other programs use cores which so many threads would wait for; "" where they do not, or there is one thread.

    `used` is the number of cores in use, default: those of the next tenth of a second.
    """
    cores = psutil.cpu_count() or 1
    used = psutil.cpu_percent(0.1) / 100 * cores if used is None else used
    if threads < 2 or used + threads <= cores + SPARE:
        return ""
    return (
        f"Other programs use {used:.1f} of this machine's {cores} cores, and {threads} threads would wait for each other: "
        "fewer --jobs or --threads may be quicker."
    )


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the control groups that this process is in, each inside the next; a container does not see the outer ones."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        own = top.joinpath(*(part for part in Path(path).parts if part not in ("/", "..")))
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _free(group: Path) -> int:
    """Bytes that a group may still take; files that were read and are not in use are given up for others."""
    limit = min(_number(group / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes"))
    used = next((_number(p) for n in ("current", "usage_in_bytes") if (p := group / f"memory.{n}").is_file()), 0)
    statistics = dict(line.split() for line in _text(group / "memory.stat").splitlines())
    return max(0, limit - used + int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0))))


def _cores(group: Path) -> int:
    """Cores whose time a group may take together."""
    words = _text(group / "cpu.max").split() or [_text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    return sys.maxsize if words[0] in ("", *UNLIMITED) else max(1, math.ceil(int(words[0]) / int(words[1])))


def _number(path: Path) -> int:
    text = _text(path)
    return sys.maxsize if text in ("", *UNLIMITED) else int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
