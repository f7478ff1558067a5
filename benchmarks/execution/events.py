"""What happens while a run is executed, as typed events for a console or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.execution.plan import Plan, RunSpec
from benchmarks.scoring.endings import Ending


@dataclass(frozen=True)
class RunStarted:
    """A run begins, or goes on in a folder that it left unfinished."""

    plan: Plan
    folder: Path
    specs: Sequence[RunSpec] = ()
    """Trainings that still have to be done."""
    kept: tuple[str, ...] = ()
    """Models of the folder that are not asked now; they stay in its tables as they are."""
    disk: int = 0
    """Bytes, about, that what is made now takes on disk: summaries, and predictions where they are kept."""


@dataclass(frozen=True)
class Preparing:
    """An environment of a model is made; an empty text says that it is ready or could not be made."""

    text: str


@dataclass(frozen=True)
class UnitStarted:
    """A training begins."""

    spec: RunSpec


@dataclass(frozen=True)
class StageStarted:
    """A training reaches "fit" or "predict <direction>"."""

    spec: RunSpec
    stage: str


@dataclass(frozen=True)
class Progressed:
    """A model reports how far its training is."""

    spec: RunSpec
    done: int
    total: int
    text: str = ""


@dataclass(frozen=True)
class UnitFailed:
    """A plugin raised an exception in this process; the unit's rows say so, and the run goes on."""

    spec: RunSpec
    traceback: str


@dataclass(frozen=True)
class UnitEnded:
    """A training and its predictions are complete; the endings are those of all conditions."""

    spec: RunSpec
    endings: Sequence[Ending]


@dataclass(frozen=True)
class RunStopped:
    """The run was interrupted: trainings are ended, and what was finished is scored and written."""


@dataclass(frozen=True)
class ScoringProgressed:
    """So many of the steps of scoring are done; the text names the next one."""

    done: int
    total: int
    text: str


Event = (
    RunStarted
    | Preparing
    | UnitStarted
    | StageStarted
    | Progressed
    | UnitFailed
    | UnitEnded
    | RunStopped
    | ScoringProgressed
)
Watcher = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Discard an event."""
