"""Executor `dask`: units on the workers of a `dask.distributed` scheduler, of this machine by default.

A worker does a unit as executor `process` does, in a child; the run's folder, the data and the environment have to be the same
on all machines. A unit whose worker died is done again by another one.
"""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.execution import events
from benchmarks.execution.cluster_file import read_cluster_file
from benchmarks.execution.events import Event, UnitEnded, UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.executors._elsewhere import Elsewhere, import_extra
from benchmarks.execution.executors.process import in_order
from benchmarks.execution.plan import Plan, RunSpec
from benchmarks.execution.worker import do_units

CLUSTERS = ("SLURMCluster", "PBSCluster", "LSFCluster", "SGECluster", "LocalCluster")
"""Classes of dask-jobqueue; jobs of the last are processes of this machine, to try a file."""
SECONDS_TO_CONNECT = 10
log = logging.getLogger(__name__)


class Dask(Elsewhere):
    """See the module."""

    takes = ("scheduler", "cluster_file")

    def __init__(self, plan: Plan, folder: Path, execution: Execution) -> None:
        super().__init__(plan, folder, execution)
        self.distributed: Any = import_extra("distributed", "dask")
        logging.getLogger("distributed.client").setLevel(
            logging.CRITICAL
        )  # a scheduler that is lost is an error of `run`
        if execution.scheduler is not None and execution.cluster_file:
            raise BenchmarkError("--scheduler and --cluster-file were both given; give one of them.")
        self.parameters = read_cluster_file(execution.cluster_file)
        if execution.scheduler is not None:
            self._connect(execution.scheduler).close()
        if execution.cluster_file:
            self._class_of_cluster()

    def run(self, specs: Sequence[RunSpec]) -> Iterator[Event]:
        """Do the trainings, those that take long first where several run at a time."""
        numbers, topic = self.numbers(), f"cycseq-{secrets.token_hex(8)}"
        happened: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._client() as client:
            if not client.scheduler_info()["workers"]:
                log.warning("No worker is connected to the scheduler yet; waiting for one.")
            client.subscribe_topic(topic, lambda event: happened.put(event[1]))
            futures = {}
            for spec in in_order(specs, self.execution.jobs):
                number = numbers[spec.key]
                key = f"unit-{number}-{topic}"
                future = client.submit(work, *self.given, number, topic, key=key, pure=False)
                futures[number] = _Submitted(spec, future)
                future.add_done_callback(lambda _, number=number: happened.put(number))
            waiting = set(futures)
            while waiting:
                what = happened.get()
                number = what if isinstance(what, int) else what["number"]
                if number not in waiting:  # what a worker said before its end was heard
                    continue
                unit = futures[number]
                if not unit.begun:
                    unit.begun = True
                    yield UnitStarted(unit.spec)
                if isinstance(what, int):
                    waiting.remove(number)
                    yield self._ended(unit)
                elif event := _event_of(unit.spec, what):
                    yield event

    def _ended(self, unit: _Submitted) -> Event:
        """Take the result of a future."""
        if unit.future.cancelled():
            raise BenchmarkError(
                "The Dask scheduler is gone. What was finished is kept; run the same command with --resume to go on."
            )
        error = unit.future.exception()
        if error is None:
            return self.ended(unit.spec, unit.future.result())
        if isinstance(error, self.distributed.KilledWorker):
            return self.failed(unit.spec, "several workers died while they did it (for lack of memory?)")
        raise BenchmarkError(
            f"A Dask worker could not do a unit ({type(error).__name__}: {error}). Start workers in the environment and from "
            "the version of the code that this command has; what was finished is kept (--resume)."
        ) from error

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Connect to the scheduler that was given, or start one with workers."""
        import dask

        with ExitStack() as opened:
            if self.execution.scheduler is not None:
                yield opened.enter_context(self._connect(self.execution.scheduler))
                return
            # workers see the variables of this process, as children of executor process do
            opened.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": {}}))
            cluster = opened.enter_context(self._cluster() if self.parameters else self._workers_of_this_machine())
            yield opened.enter_context(self.distributed.Client(cluster))

    def _workers_of_this_machine(self) -> Any:
        return self.distributed.LocalCluster(
            n_workers=self.execution.jobs,
            threads_per_worker=1,
            memory_limit=0,
            scheduler_kwargs={"dashboard": False, "dashboard_address": ":0"},
            silence_logs=logging.ERROR,
        )

    def _cluster(self) -> Any:
        """Start a cluster of dask-jobqueue with as many jobs as trainings at a time."""
        kind, parameters = self._class_of_cluster()
        try:
            cluster = kind(**parameters)
        except (TypeError, ValueError) as error:
            raise BenchmarkError(f"--cluster-file {self.execution.cluster_file}: {error}.") from error
        cluster.scale(jobs=self.execution.jobs)
        return cluster

    def _class_of_cluster(self) -> tuple[Any, dict[str, Any]]:
        parameters, file = dict(self.parameters), self.execution.cluster_file
        name = parameters.pop("class", None)
        if name not in CLUSTERS:
            raise BenchmarkError(f"--cluster-file {file}: class is {name!r}; expected one of {', '.join(CLUSTERS)}.")
        module = "dask_jobqueue.local" if name == "LocalCluster" else "dask_jobqueue"
        kind = getattr(import_extra(module, "dask"), name)
        submits = kind.job_cls.submit_command  # None: jobs are processes of this machine
        command = submits.split()[0] if submits else ""
        if command and shutil.which(command) is None:
            raise BenchmarkError(f"{command} is not here, so {name} cannot submit jobs; run this on the cluster.")
        return kind, parameters

    def _connect(self, address: str) -> Any:
        try:
            return self.distributed.Client(address, timeout=SECONDS_TO_CONNECT)
        except (OSError, ValueError) as error:
            raise BenchmarkError(
                f"--scheduler {address} cannot be reached: {error}. Start one with: dask scheduler, and workers with: dask "
                "worker ADDRESS; or leave the option out."
            ) from error


@dataclass
class _Submitted:
    """A unit that was given to the scheduler."""

    spec: RunSpec
    future: Any
    begun: bool = False


def work(folder: str, plugins: list[str], number: int, topic: str) -> dict[str, str]:
    """Do a unit in a worker; what happens is published under a topic. Returns as `do_units`."""
    import multiprocessing

    from distributed import get_worker

    # a worker that a nanny started must have no children by default
    multiprocessing.current_process().daemon = False
    worker = get_worker()

    def tell(event: Event) -> None:
        if not isinstance(event, UnitEnded):  # which is the result
            fields = {name: value for name, value in vars(event).items() if name != "spec"}
            worker.log_event(topic, {"number": number, "event": type(event).__name__, "fields": fields})

    (answer,) = do_units(folder, plugins, [number], tell)
    return answer


def _event_of(spec: RunSpec, message: dict[str, Any]) -> Event | None:
    """Make an event of what a worker published; None for the start, which was heard with the first message."""
    kind = getattr(events, message["event"])
    return None if kind is UnitStarted else kind(spec, **message["fields"])


EXECUTOR = Dask
