"""Executor `process`: a child process for each training, several at a time.

A plugin that hangs or dies takes nothing with it: its child is ended with all processes that it started, its rows say why,
and the others go on.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.execution.events import Event, UnitEnded, UnitStarted
from benchmarks.execution.executor import Execution, Executor
from benchmarks.execution.models.child_model import ChildModel
from benchmarks.execution.plan import Plan, RunSpec


class Process(Executor):
    """See the module. Each child is driven by a thread of this process, which has the cells and the store."""

    def __init__(self, plan: Plan, folder: Path, execution: Execution) -> None:
        super().__init__(plan, folder, execution)
        self.models: set[ChildModel] = set()
        self.stopped = False
        self.events: queue.SimpleQueue[Event | Future] = queue.SimpleQueue()

    def run(self, specs: Sequence[RunSpec]) -> Iterator[Event]:
        """Do the trainings, those that take long first where several run at a time."""
        # linear algebra of scoring has no more threads than a training: those of two trainings would wait for each other
        with threadpool_limits(self.execution.threads), ThreadPoolExecutor(self.execution.jobs) as threads:
            try:
                for spec in in_order(specs, self.execution.jobs):
                    threads.submit(self._unit, spec).add_done_callback(self.events.put)
                left = len(specs)
                while left:
                    event = self.events.get()
                    if isinstance(event, Future):
                        event.result()  # raises what ends the run
                        left -= 1
                    else:
                        yield event
            finally:
                self.stopped = True
                threads.shutdown(wait=False, cancel_futures=True)
                for model in list(self.models):
                    model.stop()

    def _unit(self, spec: RunSpec) -> None:
        self.events.put(UnitStarted(spec))
        self.events.put(UnitEnded(spec, self.unit(spec, self.events.put).run(lambda: self._open(spec))))

    def _open(self, spec: RunSpec) -> ChildModel:
        model = self.open_child(spec)
        self.models.add(model)
        if self.stopped:
            model.stop()
        return model


def in_order(specs: Sequence[RunSpec], jobs: int) -> list[RunSpec]:
    """Put models that train for long first where several run at a time, so that none is left waiting for the last."""
    return sorted(specs, key=lambda spec: jobs > 1 and not spec.record.full_training)


EXECUTOR = Process
