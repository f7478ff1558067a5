"""The fork server that all child processes of the harness come from."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType

LONGEST = 107 - len("/pymp-xxxxxxxx/listener-xxxxxxxx")
"""Bytes of the longest temporary folder in which the fork server's socket has a path that the system takes."""
SHORT = "/tmp"
_starting = threading.Lock()


def start_child(target: Callable[..., None], *arguments: object) -> tuple[Connection, BaseProcess]:
    """Call `target(connection, *arguments)` in a new process; returns this side's connection, and the process.

    The fork server has done the light imports and never sees a cell or a plugin, so that a child inherits neither. Nor does a
    child run the program of this process, as multiprocessing would: a script that calls `benchmarks.run` needs no guard.
    """
    _place_socket()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.models.fork_server"])
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    with _without_main():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _without_main() -> Iterator[None]:
    """Put an empty module in the place of the program, in which a child finds nothing to run."""
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _place_socket() -> None:
    """Let multiprocessing make its folder, which it makes once a process, where a socket's path is not too long."""
    before = tempfile.gettempdir()
    if len(os.fsencode(before)) > LONGEST:
        tempfile.tempdir = SHORT
    util.get_temp_dir()
    tempfile.tempdir = before
