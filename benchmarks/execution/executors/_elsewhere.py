"""What executors share whose units run in processes that have only the run's folder."""

from __future__ import annotations

import importlib
from types import ModuleType

from benchmarks.errors import BenchmarkError
from benchmarks.execution.events import UnitEnded
from benchmarks.execution.executor import Executor
from benchmarks.execution.ledger import remember_record
from benchmarks.execution.plan import RunSpec
from benchmarks.execution.unit import Unit
from benchmarks.execution.unit_list import read_units
from benchmarks.execution.worker import take_records


class Elsewhere(Executor):
    """An executor that sends numbers of units, and takes records of outcomes."""

    shared = True

    def numbers(self) -> dict[str, int]:
        """Key of each unit of the folder → its number."""
        return read_units(self.folder, self.plan.question.plugins).numbers

    @property
    def given(self) -> tuple[str, list[str]]:
        """First arguments of `do_units`: the folder and the plugins of this run, as the other machines see them."""
        return str(self.folder.resolve()), [str(path) for path in self.plan.question.plugins]

    def ended(self, spec: RunSpec, answer: dict[str, str]) -> UnitEnded:
        """Take the answer of `do_units` for a unit; raises the error that it holds."""
        take_records(self.folder, answer)
        return UnitEnded(spec, Unit(self.plan, self.folder, spec).endings())

    def failed(self, spec: RunSpec, reason: str) -> UnitEnded:
        """Take a unit that its process did not bring to an end; `--resume` tries it again."""
        unit = Unit(self.plan, self.folder, spec)
        for entry in spec.sets:  # a set that the process had written before it died stays
            remember_record(entry.folder(self.folder) / "outcome.json")
        unit.end("failed", reason, key="")
        return UnitEnded(spec, unit.endings())


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a package that an executor needs; raises `BenchmarkError` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        command = f"python -m pip install -e '.[{extra}]'"
        raise BenchmarkError(f"{error.name} is not installed; in the checkout, run: {command}") from error
