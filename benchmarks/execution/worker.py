"""A unit of work in a process that has only the run's folder: a job of a cluster, or a worker of a scheduler.

The plan is made again from the question in the folder, and must have the key that the folder has. Several processes may do
units of one folder at the same time, and the same unit may be asked twice: each unit has a lock, and the second process
finds it done.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from benchmarks.data.store.sealed_folder import SEAL
from benchmarks.errors import BenchmarkError, LeakageError, StoreError
from benchmarks.execution.events import UnitEnded, Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.executors.process import Process
from benchmarks.execution.fold_scoring import FoldScoring
from benchmarks.execution.ledger import ledger, read_record, remember_record
from benchmarks.execution.plan import Plan, RunSpec, make_plan
from benchmarks.execution.unit_list import read_units
from benchmarks.scoring.endings import Ending
from benchmarks.tasks.question import Question

log = logging.getLogger(__name__)
LOCKS = ".units"
HANDED_ON = ("threads", "device", "timeout", "prove", "memory", "keep_predictions")
"""What the plan says of how its units are done."""
_planning = threading.Lock()


@dataclass(frozen=True)
class Done:
    """A unit that was done now, or before."""

    spec: RunSpec
    endings: Sequence[Ending]
    records: dict[str, str]
    """Path in the run's folder → content, of its outcomes and of the seal of what it trained."""


def do_unit(
    folder: Path, number: int, watch: Watcher = ignore, *, plugins: Sequence[Path] = (), data_dir: Path | None = None
) -> Done:
    """Do a unit of a planned run by its number, unless it is done; a model that fails is no error, its rows say so.

    `plugins` are files that may be imported; `data_dir` is a folder with local copies of data files, where it is another than
    the plan had.

    Raises
    ------
    StoreError
        The folder is no plan, of another version of the code or of other plugins, the number or the data are not those of
        the plan, or the disk refuses.
    LeakageError
        As for `run`.
    """
    units, folder = read_units(folder, plugins), folder.resolve()
    planned, given = units.unit(number), units.execution
    here = Execution(jobs=1, data_dir=data_dir or given.data_dir)
    execution = replace(here, **{name: getattr(given, name) for name in HANDED_ON})
    with _planning:
        question = json.dumps(asdict(units.question), default=str)
        plan, scoring = _plan(question, execution.data_dir, folder, execution.threads)
    spec = next((spec for spec in plan.specs if spec.key == planned.key), None)
    if plan.key != units.key or spec is None:
        raise StoreError(
            f"Unit {number} of {folder} is of other data or settings than are here now; use the data that it was planned "
            f"with (--data-dir), or plan again: run --plan {folder}."
        )
    own = [*(entry.folder(folder) for entry in spec.sets), spec.fitted(folder)]
    with _locked(folder, spec), ExitStack() as ledgers:
        for place in own:
            ledgers.enter_context(ledger(place))
        endings: Sequence[Ending] = ()
        executor = Process(plan, folder, execution)
        executor.scoring = scoring
        for event in executor.run([spec]):
            watch(event)
            endings = event.endings if isinstance(event, UnitEnded) else endings
        return Done(spec, endings, _records(folder, own))


def do_units(
    folder: str, plugins: Sequence[str], numbers: Sequence[int], watch: Watcher = ignore
) -> list[dict[str, str]]:
    """Do units one after the other, for a scheduler that carries plain values only.

    Returns, for each unit that was begun, its records, or what ends the run as {"refused": type of the error, "text": …}.
    """
    answers, given = list[dict[str, str]](), [Path(plugin) for plugin in plugins]
    for number in numbers:
        try:
            answers.append(do_unit(Path(folder), number, watch, plugins=given).records)
        except BenchmarkError as error:
            return [*answers, {"refused": type(error).__name__, "text": str(error)}]
    return answers


def take_records(folder: Path, answer: dict[str, str]) -> None:
    """Remember the records that `do_units` returned for a unit; raises the error that it returned."""
    if "refused" in answer:
        ends = {kind.__name__: kind for kind in (StoreError, LeakageError)}
        raise ends.get(answer["refused"], BenchmarkError)(answer["text"])
    for name, content in answer.items():
        remember_record(folder / name, content.encode())


@lru_cache(maxsize=1)
def _plan(question: str, data_dir: Path | None, folder: Path, threads: int) -> tuple[Plan, FoldScoring]:
    """Make a plan, and what scores its folds, once for all units of a process; the question is given as JSON."""
    plan = make_plan(TypeAdapter(Question).validate_json(question), data_dir)
    return plan, FoldScoring(plan, folder, threads)


@contextmanager
def _locked(folder: Path, spec: RunSpec) -> Iterator[None]:
    """Keep other processes from doing the same unit; wait for one that does."""
    path = folder / LOCKS / f"{spec.key[:32]}.lock"
    try:
        path.parent.mkdir(exist_ok=True)
        try:
            held = FileLock(path).acquire(blocking=False)
        except Timeout:
            log.warning("Another process does %s; waiting for it.", spec.name)
            held = FileLock(path).acquire()
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"{path} cannot be locked: {error}. The folder of a run has to be on a disk with file locks."
        ) from error
    with held:
        yield


def _records(folder: Path, places: Sequence[Path]) -> dict[str, str]:
    found = {}
    for path in (place / name for place in places for name in ("outcome.json", SEAL)):
        with suppress(OSError):
            found[path.relative_to(folder).as_posix()] = read_record(path).decode()
    return found
