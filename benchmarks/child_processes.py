"""The fork server that all child processes of the harness come from."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess


def start_child(target: Callable[..., None], *arguments: object) -> tuple[Connection, BaseProcess]:
    """Call `target(connection, *arguments)` in a new process; returns this side's connection, and the process.

    The fork server has done the light imports and never sees a cell or a plugin, so that a child inherits neither.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.models.session"])
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    return ours, process
