"""An isolated model as the harness sees it: a predictor whose work is done by a process in the model's own environment.

The harness's own process keeps everything else: the leakage audit, the clock, the checks, the truth. The other one gets
files with the training cells or with one query, and nothing more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.contract import Baseline, Persistent, Prediction, Predictor, Query, Train, no_report
from benchmarks.errors import ContractError, IsolationError, StoreError, Unsupported
from benchmarks.execution.environments.model_environment import environment_of, serve_command
from benchmarks.execution.environments.unit_files import get_answer, put_query, put_train

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",
)
"""Variables that numerical packages take their number of threads from (NPROC: XLA); the first one is the worker's."""
Report = Callable[[int, int, str], None]
REFUSALS = {error.__name__: error for error in (Unsupported, ContractError, StoreError)}


def build(record: Baseline, settings: Mapping[str, object], folder: Path) -> Predictor:
    """Build a predictor as its record says: here, or in the model's own environment.

    Parameters
    ----------
    record
        From the registry.
    settings
        Settings of the predictor.
    folder
        An existing folder for the files that an isolated model is sent.

    Raises
    ------
    ContractError
        What was built lacks `fit` or `predict`.
    IsolationError
        The model's environment is not made, or its process does not start.
    """
    predictor = record.build(**settings)
    if not isinstance(predictor, Predictor):
        raise ContractError(f"build returned a {type(predictor).__name__} without the methods fit and predict.")
    if not record.isolated:
        return predictor
    kind = PersistentIsolated if isinstance(predictor, Persistent) else Isolated
    return kind(record, settings, folder)


def peak_memory_mb(predictor: Predictor) -> float:
    """Peak memory of the process that a predictor runs in besides this one, in MB; 0 where there is none."""
    return predictor.peak_memory_mb if isinstance(predictor, Isolated) else 0.0


class Isolated:
    """A predictor in an environment of its own; its process and its files go when it does."""

    def __init__(self, record: Baseline, settings: Mapping[str, object], folder: Path) -> None:
        environment = environment_of(record)
        if not environment.ready:
            raise IsolationError(f"{record.name}'s environment is not made; make it with: {environment.command}")
        self.peak_memory_mb = 0.0
        self._name = record.name
        self._folder = Path(tempfile.mkdtemp(dir=folder, prefix="isolated-"))
        with (self._folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                serve_command(environment.python),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **_threads()},
                encoding="utf-8",
            )
        weakref.finalize(self, _end, self._process, self._folder)
        self._listen("ready")
        self._ask("build", {"plugin": str(_file_of(record)), "name": record.name, "settings": dict(settings)})

    def fit(self, train: Train, *, seed: int) -> None:
        """Have the model trained; the cells lie on disk until it is."""
        files = self._folder / "train"
        try:
            put_train(train, files)
            self._ask("fit", {"train": str(files), "seed": seed}, train.report)
        finally:
            shutil.rmtree(files, ignore_errors=True)

    def predict(self, query: Query) -> Prediction:
        """Have one query answered."""
        files = self._folder / "query"
        try:
            put_query(query, files)
            kind = self._ask("predict", {"query": str(files), "answer": str(files)})
            if kind != Prediction.__name__:
                raise ContractError(f"predict returned a {kind}; expected a benchmarks.contract.Prediction.")
            return get_answer(files)
        finally:
            shutil.rmtree(files, ignore_errors=True)

    def _ask(self, do: str, words: dict[str, object], report: Report = no_report) -> Any:
        try:
            print(json.dumps({"do": do, **words}), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._died(do) from error
        return self._listen(do, report)

    def _listen(self, doing: str, report: Report = no_report) -> Any:
        """Wait for the answer, passing progress on; raises what the other side met."""
        for line in self._process.stdout or ():
            words = json.loads(line)
            if "progress" in words:
                report(*words["progress"])
            elif "refused" in words:
                error = REFUSALS.get(words["refused"], IsolationError)
                raise error(words["text"])
            elif "done" in words or "ready" in words:
                self.peak_memory_mb = words.get("peak_memory_mb", 0.0)
                return words.get("done")
        raise self._died(doing)

    def _died(self, doing: str) -> IsolationError:
        code = self._process.wait()
        said = (self._folder / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "")
        return IsolationError(
            f"the process in {self._name}'s environment died (exit code {code}) in '{doing}'"
            + (f"; it last said: {last[:300]}" if last else "; killed for lack of memory?")
        )


class PersistentIsolated(Isolated):
    """One whose model can be put on disk."""

    def save(self, folder: Path) -> None:
        """Have the model write everything it needs."""
        self._ask("save", {"folder": str(folder.resolve())})

    def load(self, folder: Path) -> None:
        """Have the model restored."""
        self._ask("load", {"folder": str(folder.resolve())})


def _file_of(record: Baseline) -> Path:
    """The plugin's file, which the other environment imports too."""
    module = sys.modules[record.build.__module__]
    if not module.__file__:
        raise ContractError(f"Baseline '{record.name}': build is not from a file, which an isolated model has to be.")
    return Path(module.__file__).resolve()


def _threads() -> dict[str, str]:
    number = os.environ.get(THREADS[0])
    return dict.fromkeys(THREADS, number) if number else {}


def _end(process: subprocess.Popen[str], folder: Path) -> None:
    """End a model's process and remove its files."""
    process.kill()
    process.wait()
    for channel in (process.stdin, process.stdout):
        if channel:
            with suppress(BrokenPipeError):  # a request that a dead process never read
                channel.close()
    shutil.rmtree(folder, ignore_errors=True)
