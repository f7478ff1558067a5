"""Worker processes: started, watched, timed out and, on Ctrl-C, ended with everything they started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from benchmarks.execution.worker import Job, end_task, work

POLL_SECONDS = 0.2
Watcher = Callable[[Job, tuple], None]
"""Called with a job and what its worker said: ("start",), ("stage", name), ("progress", done, total, text), ("end",); and
with ("environment", text) while an isolated model's environment is made, text empty at the end."""


@dataclass
class Running:
    """One live worker."""

    job: Job
    process: BaseProcess
    connection: Connection
    stage: str = "start"
    since: float = field(default_factory=time.monotonic)
    finished: bool = False


def run_jobs(jobs: Sequence[Job], *, workers: int, timeout: float | None, watch: Watcher) -> None:
    """Run jobs in worker processes, at most `workers` at a time.

    A worker that exceeds `timeout` seconds in one `fit` or one `predict`, or dies, leaves rows with status `timeout` or
    `failed` and a reason; the others go on.

    Raises
    ------
    StoreError, LeakageError
        A worker met one: the run is stopped, what was finished is kept.
    KeyboardInterrupt
        After all workers were ended.
    """
    context = _context()
    waiting, running = list(jobs), list[Running]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start(context, waiting.pop(0)))
                watch(running[-1].job, ("start",))
            wait([r.connection for r in running], timeout=POLL_SECONDS)
            for entry in running:
                _listen(entry, watch)
                _end_if_due(entry, timeout)
            for entry in [r for r in running if r.finished]:
                running.remove(entry)
                watch(entry.job, ("end",))
    finally:
        for entry in running:
            _kill(entry)


def _context() -> multiprocessing.context.BaseContext:
    """Use a fork server with the light imports done: cheap workers, and no fork of a process with threads."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.worker"])
    return context


def _start(context: multiprocessing.context.BaseContext, job: Job) -> Running:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(job, theirs), daemon=False)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    return Running(job, process, ours)


def _listen(entry: Running, watch: Watcher) -> None:
    """Take in what a worker said since the last look; one that left without a word has died."""
    try:
        while entry.connection.poll():
            message = entry.connection.recv()
            if message[0] == "stop":
                raise message[1]
            if message[0] == "stage":
                entry.stage, entry.since = message[1], time.monotonic()
            entry.finished |= message[0] == "done"
            watch(entry.job, message)
    except (EOFError, ConnectionError):
        entry.process.join()
        _kill(entry)  # what it started may have outlived it
        if not entry.finished:
            _record(
                entry,
                "failed",
                f"the worker process died (exit code {entry.process.exitcode}) in stage "
                f"'{entry.stage}'; killed for lack of memory?",
            )


def _end_if_due(entry: Running, timeout: float | None) -> None:
    if not entry.finished and timeout and time.monotonic() - entry.since > timeout:
        _kill(entry)
        _record(entry, "timeout", f"did not return within {timeout:g} s in stage '{entry.stage}' (--timeout)")


def _record(entry: Running, status: str, reason: str) -> None:
    for task in entry.job.tasks:
        if not (task.folder(entry.job.run) / "outcome.json").exists():
            end_task(entry.job, task, status, reason)
    entry.finished = True


def _kill(entry: Running) -> None:
    """End a worker and whatever it started."""
    pid = entry.process.pid
    if pid is None:
        return
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        entry.process.kill()
    entry.process.join()
