"""The child process of a unit of work: it builds one predictor and serves the requests of the harness.

Requests and answers are JSON over a connection, cells and predictions are files in the unit's folder. When the harness
closes its end, the process ends with all that it started, whatever it is doing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from anndata import AnnData

import benchmarks
from benchmarks import registry
from benchmarks.confinement import confine, keep_scratch_in
from benchmarks.errors import BenchmarkError, explain
from benchmarks.execution.models.local_model import LocalModel
from benchmarks.execution.models.unit_files import get_query, get_train, put_answer
from benchmarks.execution.models.watchdog import forget_fork_server, start_watchdog

SAVED, SCRATCH = "saved", "tmp"
"""Folders of a unit: the trained model, and temporary files of the packages."""


class Session:
    """One predictor, and the connection to the harness."""

    model: LocalModel

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection, self.folder, self.busy = connection, folder, False
        self.cells: AnnData | None = None
        """Cells of the last query."""
        self.requests: dict[str, Callable[..., object]] = {
            "build": self.build,
            "fit": self.fit,
            "predict": self.predict,
            "save": self.save,
            "load": self.load,
        }

    def serve(self) -> None:
        """Serve requests until the harness closes the connection."""
        requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()
        while (request := requests.get()) is not None:
            self.busy = True
            self.answer(request)
            self.busy = False

    def answer(self, request: dict[str, Any]) -> None:
        """Do what is requested; send the result, or why it failed."""
        try:
            given = self.requests[request.pop("do")](**request)
        except BenchmarkError as error:
            self.send(refused=type(error).__name__, text=str(error))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it becomes a row with a reason
            self.send(refused="", text=explain(error))
        else:
            self.send(done=given, seconds=self.model.seconds, peak_memory_mb=self.model.peak_memory_mb)

    def send(self, **message: object) -> None:
        """Send one message."""
        self.connection.send_bytes(json.dumps(message).encode())

    def build(self, name: str, origin: str, settings: dict[str, Any]) -> bool:
        """Build the predictor from its file alone; returns whether it can be saved."""
        self.model = LocalModel(registry.load(origin, name), settings)
        return self.model.persistent

    def fit(self, seed: int) -> None:
        """Train on what is in the unit's folder."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="fit-") as workdir:
            self.model.fit(get_train(self.folder, workdir=Path(workdir), report=self.report), seed=seed)

    def save(self) -> None:
        """Write the trained predictor into the unit's folder."""
        folder = self.folder / SAVED
        folder.mkdir()
        self.model.save(folder)

    def load(self) -> None:
        """Restore the predictor that lies in the unit's folder."""
        self.model.load(self.folder / SAVED)
        shutil.rmtree(self.folder / SAVED)

    def predict(self, again: bool) -> None:
        """Answer the query in the unit's folder, of the same cells as the last one if it is asked `again`."""
        query = get_query(self.folder, self.cells if again else None)
        self.cells = None  # read again if the predictor fails or changes them
        prediction = self.model.predict(query)
        put_answer(prediction, self.folder)
        self.cells = query.cells

    def report(self, done: int, total: int, text: str = "") -> None:
        """Send how far training is."""
        self.send(progress=[int(done), int(total), str(text)])

    def _read(self, requests: queue.Queue[dict[str, Any] | None]) -> None:
        try:
            while True:
                requests.put(json.loads(self.connection.recv_bytes()))
        except (EOFError, OSError):
            if self.busy:
                os.killpg(0, signal.SIGKILL)
            requests.put(None)  # the process ends by itself, and releases what the predictor holds


def serve_unit(connection: Connection, folder: Path, hidden: Sequence[str], origin: str) -> None:
    """Set up this process for one unit, without access to what is hidden, and serve it.

    What a plugin prints goes to `log.txt` in the unit's folder.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the harness decides what Ctrl-C means
    start_watchdog()
    try:
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.chdir(folder)
        (folder / SCRATCH).mkdir()
    except FileNotFoundError:  # the run was ended before this process began, and its folder was removed
        os._exit(0)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for variable in [name for name in os.environ if name.startswith("CYCSEQ_")]:
        del os.environ[variable]  # they say where data are
    keep_scratch_in(folder / SCRATCH)
    needed = (sys.prefix, sys.base_prefix, str(Path(benchmarks.__file__).parent), str(registry.FOLDER), origin)
    confine(folder, hidden, needed)  # before there is a second thread
    Session(connection, folder).serve()


def serve_forked(connection: Connection, folder: Path, threads: int, hidden: Sequence[str], origin: str) -> None:
    """Serve one unit in a process of this environment, with so many threads of numerical packages."""
    from threadpoolctl import threadpool_limits

    # the usual one: semaphores of the fork server's children have names, which a child that is killed leaves behind
    multiprocessing.set_start_method(None, force=True)
    forget_fork_server()
    os.setsid()  # so that the harness can end this process with all its children
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when a plugin imports it
    with threadpool_limits(threads):
        serve_unit(connection, folder, hidden, origin)
