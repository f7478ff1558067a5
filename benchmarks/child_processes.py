"""The fork server that all child processes of the harness come from."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

LONGEST = 107 - len("/pymp-xxxxxxxx/listener-xxxxxxxx")
"""Bytes of the longest temporary folder in which the fork server's socket has a path that the system takes."""
SHORT = "/tmp"


def start_child(target: Callable[..., None], *arguments: object) -> tuple[Connection, BaseProcess]:
    """Call `target(connection, *arguments)` in a new process; returns this side's connection, and the process.

    The fork server has done the light imports and never sees a cell or a plugin, so that a child inherits neither.
    """
    _place_socket()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.models.fork_server"])
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    return ours, process


def _place_socket() -> None:
    """Let multiprocessing make its folder, which it makes once a process, where a socket's path is not too long."""
    before = tempfile.gettempdir()
    if len(os.fsencode(before)) > LONGEST:
        tempfile.tempdir = SHORT
    util.get_temp_dir()
    tempfile.tempdir = before
