"""`units.json` in a run's folder: all that a process on another machine needs to do one unit of the run.

It holds the question, how it is executed, the key of the plan, the version of the code, and the units by number, as JSON
with a digest of itself. A unit keeps its number for as long as the folder exists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from benchmarks.contract import RESOURCES
from benchmarks.data.store.atomic_files import atomic
from benchmarks.data.store.checked_json import from_bytes, to_bytes
from benchmarks.errors import StoreError
from benchmarks.execution.code_version import code_version, difference
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import RunSpec
from benchmarks.tasks.question import Question

FILE = "units.json"


@dataclass(frozen=True)
class PlannedUnit:
    """One unit of the list; its number is its place."""

    key: str
    """Key of its `RunSpec`."""
    name: str
    models: tuple[str, ...]
    directions: tuple[str, ...]
    fold: int
    seed: int
    resources: Mapping[str, float] = field(default_factory=dict)
    """As in `Baseline.resources`."""


@dataclass(frozen=True)
class UnitList:
    """What `units.json` holds."""

    key: str
    """Key of the plan."""
    question: Question
    execution: Execution
    code: Mapping[str, str]
    """See `code_version`."""
    units: tuple[PlannedUnit, ...]

    @property
    def numbers(self) -> dict[str, int]:
        """Key of a unit → its number."""
        return {unit.key: number for number, unit in enumerate(self.units)}

    def unit(self, number: int) -> PlannedUnit:
        """Return a unit by number; raises `StoreError` for a number that does not exist."""
        if not 0 <= number < len(self.units):
            raise StoreError(f"There is no unit {number}; this run has units 0 to {len(self.units) - 1}.")
        return self.units[number]

    def resource_options(self) -> list[str]:
        """Options of sbatch for one unit, large enough for each."""
        most = {name: max((u.resources.get(name, 0) for u in self.units), default=0) for name in RESOURCES}
        gpus = most["gpus"] if self.execution.device.startswith("cuda") else 0
        asked = {
            "cpus-per-task": self.execution.threads,
            "mem": f"{math.ceil(most['memory_gb'])}G" if most["memory_gb"] else "",
            "gpus": f"{math.ceil(gpus)}" if gpus else "",
            "time": f"{math.ceil(most['hours'] * 60)}" if most["hours"] else "",
        }
        return [f"--{name}={value}" for name, value in asked.items() if value]


def write_units(folder: Path, key: str, question: Question, execution: Execution, specs: Sequence[RunSpec]) -> UnitList:
    """Write the list of a run's units; units of an earlier list keep their numbers, others follow. Raises `StoreError`."""
    before = _read(folder)
    units = {unit.key: unit for unit in (before.units if before and before.key == key else ())}
    units |= {spec.key: _planned(spec) for spec in specs}
    made = UnitList(key, question, execution, code_version(question.plugins), tuple(units.values()))
    with atomic(folder / FILE) as handle:
        handle.write(to_bytes(json.loads(json.dumps(asdict(made), default=str))))
    return made


def read_units(folder: Path, plugins: Sequence[Path] = ()) -> UnitList:
    """Read the list of a run's units.

    Raises `StoreError` if there is none, if it is of another version of the code, or if it names a plugin file that is not
    one of `plugins`: a folder alone never has code of whoever made it run.
    """
    found = _read(folder)
    if found is None:
        raise StoreError(
            f"{folder} has no {FILE}, or a damaged one; give a folder that `run --plan` made, on a disk that this machine sees."
        )
    strange = set(found.question.plugins) - {path.resolve() for path in plugins}
    if strange:
        given = " ".join(f"--plugin {path}" for path in sorted(strange))
        raise StoreError(f"{folder} was planned with plugins; to let them run, add: {given}.")
    differs = difference(found.code, code_version(found.question.plugins))
    if differs:
        raise StoreError(
            f"{folder} was planned with another version of the code than runs here: {differs}. Use the same environment and "
            f"checkout on all machines, or plan again with this one: run --plan {folder}."
        )
    return found


@cache
def _checked() -> TypeAdapter[UnitList]:
    return TypeAdapter(UnitList)


def _read(folder: Path) -> UnitList | None:
    try:
        return _checked().validate_python(from_bytes((folder / FILE).read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None


def _planned(spec: RunSpec) -> PlannedUnit:
    models, directions = (
        tuple(dict.fromkeys(names)) for names in zip(*((s.model, s.direction) for s in spec.sets), strict=True)
    )
    return PlannedUnit(
        spec.key, spec.name, models, directions, spec.fold, spec.sets[0].seed, dict(spec.record.resources)
    )
