"""A process that ends a child of the harness, with all that the child started, when the harness has ended.

The child sees by itself that its connection is closed, but not while a plugin holds the interpreter's lock.
"""

from __future__ import annotations

import os
import select
import signal
import warnings
from contextlib import suppress
from typing import Any


def start_watchdog() -> None:
    """Start the watchdog of this process, which leads a process group and has one thread; Linux only, elsewhere nothing is done."""
    try:
        ends = [os.pidfd_open(pid) for pid in (os.getppid(), os.getpid())]
    except (AttributeError, OSError):  # another system, or one that does not allow it
        return
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # threads of numerical packages
        watchdog = os.fork() == 0
    if watchdog:
        _watch(ends)
    for end in ends:
        os.close(end)


def _watch(ends: list[int]) -> None:
    """Wait until one of two processes ends, then end this process's group; never returns."""
    try:
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in ends:  # such as the connection, which must close with the child
                with suppress(OSError):
                    os.close(int(name))
        select.select(ends, [], [])
    finally:
        os.killpg(0, signal.SIGKILL)


def forget_fork_server() -> None:
    """Close what keeps the fork server alive in each of its children, so that it ends with the harness."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
