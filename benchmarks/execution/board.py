"""What a run's folder shows: the models, directions, folds and seeds that it has been asked for so far.

`--resume` may ask for fewer than the command before. What is trained is what is asked now; the tables keep everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from benchmarks.contract import Baseline, Direction
from benchmarks.errors import StoreError
from benchmarks.execution.manifest import read_manifest
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.prediction_store import Outcome, PredictionSet, get_outcome
from benchmarks.scoring.endings import NOT_RUN, Ending
from benchmarks.tasks.protocol import find_protocol
from benchmarks.tasks.question import Question
from benchmarks.tasks.splits import Split
from reports.tables import MODEL_COLUMNS


@dataclass(frozen=True)
class Kept:
    """A model of a run's folder, as its manifest has it; its plugin is not imported."""

    record: Mapping[str, str]
    """Its row of models.csv."""
    seeds: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The rest of its entry in the manifest."""

    @property
    def directions(self) -> list[str]:
        """Directions that it takes."""
        return self.record["directions"].split()


@dataclass(frozen=True)
class Board:
    """A plan, widened by what was asked of its folder before."""

    plan: Plan
    """The models that are asked now, with all directions and folds that were ever asked, and the most seeds."""
    models: Mapping[str, Kept]
    """All models that were ever asked."""
    question: Question
    """A question that asks for all of it."""

    @cached_property
    def keys(self) -> Mapping[PredictionSet, str]:
        """Keys of the trainings of the models that are asked now; an outcome of another key is of other settings."""
        return {entry: spec.key for spec in self.plan.specs for entry in spec.sets}

    def outcomes(self, folder: Path, split: Split, direction: Direction) -> dict[PredictionSet, Outcome]:
        """Outcome of every model and seed in a fold and direction; what has not run, or not so, is `not_run`."""
        found: dict[PredictionSet, Outcome] = {}
        for name, model in self.models.items():
            for seed in range(model.seeds):
                entry = PredictionSet(name, direction, self.plan.protocol, split.fold, seed)
                if direction in model.directions:
                    found[entry] = self._valid(folder, entry) or _without(
                        split, NOT_RUN, "its unit (run --unit) or --resume runs it"
                    )
                else:
                    found[entry] = _without(split, "unsupported", f"takes {' and '.join(model.directions)} only")
        return found

    def is_complete(self, folder: Path) -> bool:
        """Say whether nothing of it is `not_run`."""
        tasks = product(self.plan.splits, self.plan.directions)
        outcomes = (outcome for fold, way in tasks for outcome in self.outcomes(folder, fold, way).values())
        return not any(ending.status == NOT_RUN for outcome in outcomes for ending in outcome.endings)

    def _valid(self, folder: Path, entry: PredictionSet) -> Outcome | None:
        outcome = get_outcome(entry.folder(folder))
        stale = outcome is not None and outcome.key not in ("", self.keys.get(entry, outcome.key))
        return None if stale else outcome


def board_of(plan: Plan, folder: Path, data_dir: Path | None) -> Board:
    """Widen a plan by what was asked of a run's folder before.

    `data_dir` is a folder with local copies of data files. Raises `StoreError` if the folder's manifest cannot be read.
    """
    asked = {name: Kept(_row(record), plan.question.seeds) for name, record in sorted(plan.baselines.items())}
    board = Board(plan, asked, plan.question)
    return widened(board, folder, data_dir) if (folder / "manifest.json").is_file() else board


def widened(board: Board, folder: Path, data_dir: Path | None) -> Board:
    """Widen a board by what a run's folder was asked; where both have a model, its settings and record are the board's.

    `data_dir` and errors are as for `board_of`.
    """
    plan, before = board.plan, read_manifest(folder)
    try:
        kept = {name: _kept(entry) for name, entry in before["models"].items()}
        question = TypeAdapter(Question).validate_python(before["question"])
        directions, folds = set(before["directions"]), len(before["splits"])
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise StoreError(
            f"{folder / 'manifest.json'} is damaged ({type(error).__name__}); delete it, and run again with --resume and "
            "all models (what is finished is not trained again)."
        ) from error
    for name, new in board.models.items():
        kept[name] = replace(new, seeds=max(new.seeds, kept.get(name, new).seeds))
    models = dict(sorted(kept.items()))
    joined = _join(board, question, max(model.seeds for model in models.values()))
    if folds > len(plan.splits):
        plan = make_plan(replace(plan.question, folds=folds), data_dir, plan.session)
    ways = tuple(d for d in find_protocol(plan.protocol).directions if d in directions | set(plan.directions))
    joined = replace(joined, directions=ways, folds=len(plan.splits))
    own = replace(plan.question, seeds=joined.seeds, folds=joined.folds)
    return Board(replace(plan, directions=ways, question=own), models, joined)


def _row(record: Baseline) -> dict[str, str]:
    row = vars(record) | vars(record.can) | {"model": record.name, "directions": " ".join(record.directions)}
    return {column: row[column] for column in MODEL_COLUMNS}


def _kept(entry: dict[str, Any]) -> Kept:
    facts = {name: value for name, value in entry.items() if name not in ("record", "seeds")}
    return TypeAdapter(Kept).validate_python({"record": entry["record"], "seeds": entry["seeds"], "facts": facts})


def _join(board: Board, before: Question, seeds: int) -> Question:
    """Ask for the models of both questions, with the board's settings where both have some."""
    now, lists = board.question, [q.models or board.plan.suite.models for q in (before, board.question)]
    models = () if not before.models and not now.models else tuple(dict.fromkeys([*lists[0], *lists[1]]))
    settings = {**before.settings, **{name: now.settings.get(name, {}) for name in board.models}}
    plugins = tuple(dict.fromkeys([*before.plugins, *now.plugins]))
    return replace(
        now, models=models, seeds=seeds, settings={name: own for name, own in settings.items() if own}, plugins=plugins
    )


def _without(split: Split, status: str, reason: str) -> Outcome:
    endings = (Ending(c.context, c.perturbation, status, reason, c.dose) for c in split.conditions)
    return Outcome(key="", endings=tuple(endings))
