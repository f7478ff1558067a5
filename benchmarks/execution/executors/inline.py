"""Executor `inline`: one training after the other in this process, for a debugger or a notebook.

A breakpoint in a plugin's `fit` works, and an exception is shown with its whole traceback. Models with an environment of
their own still run in a child. Events within a unit arrive when it has ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.errors import BenchmarkError
from benchmarks.execution.events import Event, UnitEnded, UnitStarted
from benchmarks.execution.executor import Execution, Executor
from benchmarks.execution.models.child_model import Model
from benchmarks.execution.models.local_model import LocalModel
from benchmarks.execution.plan import Plan, RunSpec


class Inline(Executor):
    """See the module."""

    here = True

    def __init__(self, plan: Plan, folder: Path, execution: Execution) -> None:
        if execution.timeout:
            raise BenchmarkError(
                "--executor inline cannot end a training; leave --timeout out, or use --executor process."
            )
        super().__init__(plan, folder, execution)

    def run(self, specs: Sequence[RunSpec]) -> Iterator[Event]:
        """Do the trainings in the order given."""
        os.environ.setdefault("OMP_NUM_THREADS", str(self.execution.threads))  # read by torch when a plugin imports it
        for spec in specs:
            yield UnitStarted(spec)
            inside: list[Event] = []
            with threadpool_limits(self.execution.threads):
                endings = self.unit(spec, inside.append).run(partial(self._open, spec), partial(self.open_child, spec))
            yield from inside
            yield UnitEnded(spec, endings)

    def _open(self, spec: RunSpec) -> Model:
        if spec.record.isolated:
            return self.open_child(spec)
        return LocalModel(spec.record, spec.settings)


EXECUTOR = Inline
