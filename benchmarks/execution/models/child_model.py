"""A predictor in a child process, of this environment or of the model's own.

The child gets the files of one unit's folder: the training cells, and after `fit` one query at a time. Everything else
stays in the process of the harness: the cells of the truth, the leakage audit, the clock, the store of predictions.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks import errors
from benchmarks.child_processes import start_child
from benchmarks.contract import Baseline, Prediction, Query, Train, no_report
from benchmarks.data.store.atomic_files import FREE_TEMPORARY, RESUME, refusals
from benchmarks.errors import IsolationError, ModelFailed, ModelTimeout, StoreError
from benchmarks.execution.models.local_model import LocalModel
from benchmarks.execution.models.model_environment import environment_of, serve_command
from benchmarks.execution.models.session import SAVED, serve_forked
from benchmarks.execution.models.unit_files import TRAIN, put_query, put_train
from benchmarks.execution.models.unit_folders import make_unit_folder
from benchmarks.execution.prediction_store import get_prediction
from benchmarks.registry import origin_of

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",
)
"""Variables that numerical packages read their number of threads from (NPROC: XLA). A child of this environment gets the
first only: with the others numba sums in another order in a child than in this process, and scores of GEARS move by 1e-6."""
SECONDS_TO_END = 5.0


class Stopped(BaseException):
    """The run is ended while this model works; nothing is recorded."""


class ChildModel:
    """What `LocalModel` is, with the work done by a child process; its process and its files are removed with it.

    A model that is `isolated` runs in its own environment. The child has so many `threads`, and cannot read the paths in
    `hidden` (see `confinement`); one `fit` or `predict` is ended after `timeout` seconds, where that is given.

    Raises
    ------
    IsolationError
        The model's environment is not made.
    ModelFailed, ModelTimeout
        In every call: the predictor raised an exception, its process died or did not return in time.
    ContractError, Unsupported, StoreError
        In every call: as the predictor or its checks raised it.
    """

    def __init__(
        self,
        record: Baseline,
        settings: Mapping[str, object],
        *,
        hidden: Sequence[Path] = (),
        threads: int = 1,
        timeout: float | None = None,
    ) -> None:
        self.timeout = timeout
        self.seconds, self.peak_memory_mb, self.stopped = 0.0, 0.0, False
        self.needs, self.folder = record.needs, make_unit_folder()
        self.death: ModelFailed | None = None
        self.process: BaseProcess | subprocess.Popen
        origin, paths = origin_of(record), [str(path.resolve()) for path in hidden]
        if record.isolated:
            self.connection, self.process = _start_isolated(record, self.folder, threads, paths, origin)
        else:
            self.connection, self.process = start_child(serve_forked, self.folder, threads, paths, origin)
        self.close = weakref.finalize(self, _end, self.process, self.connection, self.folder)
        self.persistent = self._request("build", name=record.name, origin=origin, settings=dict(settings))

    def fit(self, train: Train, *, seed: int) -> None:
        """Train it; what it is trained on is on disk until it is trained."""
        with self._written():
            put_train(train, self.folder, self.needs)
        self._request("fit", train.report, seed=seed)
        for path in self.folder.glob(f"{TRAIN}*"):
            path.unlink()

    def predict(self, query: Query) -> Prediction:
        """Answer one query."""
        if self.death:
            raise self.death
        with self._written():
            put_query(query, self.folder)
        self._request("predict")
        return get_prediction(self.folder, 0)

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        self._request("save")
        with refusals(folder, RESUME):
            shutil.copytree(self.folder / SAVED, folder, dirs_exist_ok=True)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        with self._written():
            shutil.copytree(folder, self.folder / SAVED)
        self._request("load")

    def stop(self) -> None:
        """End the process from another thread; the call that waits for it raises `Stopped`."""
        self.stopped = True
        self.close()

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Write into the model's temporary folder; a disk that refuses fails this model only, which may have filled it."""
        try:
            with refusals(self.folder, FREE_TEMPORARY):
                yield
        except StoreError as error:
            raise ModelFailed(str(error)) from error

    def _request(self, do: str, report: Callable[[int, int, str], None] = no_report, **arguments: object) -> Any:
        """Send a request and wait for its result, passing progress on."""
        deadline = time.monotonic() + self.timeout if self.timeout else None
        try:
            self.connection.send_bytes(json.dumps({"do": do, **arguments}).encode())
            while True:
                if deadline and not self.connection.poll(max(0.0, deadline - time.monotonic())):
                    self.close()
                    raise ModelTimeout(f"did not return within {self.timeout:g} s in stage '{do}' (--timeout)")
                message = json.loads(self.connection.recv_bytes())
                if "progress" in message:
                    report(*message["progress"])
                elif "refused" in message:
                    raise getattr(errors, message["refused"], ModelFailed)(message["text"])
                else:
                    self.seconds, self.peak_memory_mb = message["seconds"], message["peak_memory_mb"]
                    return message["done"]
        except (EOFError, OSError) as error:
            if self.stopped:
                raise Stopped from error
            self.death = self._died(do)
            raise self.death from error

    def _died(self, stage: str) -> ModelFailed:
        """Say how the process ended and what it printed last."""
        code = _wait(self.process)
        log = self.folder / "log.txt"
        said = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
        self.close()
        how = f"exit code {code}" if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"
        killed = "for lack of memory, or by a user or a scheduler?" if code == -signal.SIGKILL else "it printed nothing"
        why = f"its last output: {said.splitlines()[-1].strip()[:300]}" if said else killed
        return ModelFailed(f"the process died ({how}) in stage '{stage}'; {why}")


Model = LocalModel | ChildModel


def _start_isolated(
    record: Baseline, folder: Path, threads: int, hidden: Sequence[str], origin: str
) -> tuple[Connection, subprocess.Popen]:
    """Start a child with the interpreter of the model's own environment."""
    environment = environment_of(record)
    if not environment.ready:
        shutil.rmtree(folder)
        raise IsolationError(f"{record.name}'s environment is not made; make it with: {environment.command}")
    ours, theirs = multiprocessing.Pipe()
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [*serve_command(environment.python), str(theirs.fileno()), str(folder), json.dumps(hidden), origin],
            cwd=folder,
            env=os.environ | dict.fromkeys(THREADS, str(threads)),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    theirs.close()
    return ours, process


def _wait(process: BaseProcess | subprocess.Popen, seconds: float | None = None) -> int | None:
    """Wait for a process, so long at most; returns its exit code, or None while it runs."""
    if isinstance(process, subprocess.Popen):
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.returncode
    process.join(seconds)
    return process.exitcode


def _end(process: BaseProcess | subprocess.Popen, connection: Connection, folder: Path) -> None:
    """End a process with all its children, and remove its files. A process that is idle ends by itself."""
    connection.close()
    _wait(process, SECONDS_TO_END)
    if process.pid:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        process.kill()
    _wait(process)
    shutil.rmtree(folder, ignore_errors=True)
