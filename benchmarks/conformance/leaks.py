"""The proof of a run (`benchmarks.execution.proof`) on the tiny screen, and a comparison of predictions with hidden cells."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.conformance.checks import SEED, CheckResult, Screen
from benchmarks.contract import Baseline, Direction
from benchmarks.data.cell_table import CellTable, read
from benchmarks.errors import Unsupported, explain
from benchmarks.execution.models.child_model import ChildModel
from benchmarks.execution.prediction_store import digest_of
from benchmarks.execution.proof import LEAK, PROVED, prove
from benchmarks.execution.unit import make_query
from benchmarks.scoring.cell_sets import mean_profile, take
from benchmarks.tasks.leakage import HiddenCells
from benchmarks.training_data import CellsInMemory

EXPECTED = (
    "predictions are no hidden cells, and do not change with hidden cells or with what was asked before: in each direction "
    "it is trained twice in a process of its own"
)


def check_leaks(record: Baseline, screen: Screen) -> CheckResult:
    """Prove the predictions of each direction, from trainings with the quick settings in child processes."""
    try:
        found = {direction: _leak(record, screen, direction) for direction in record.directions}
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its author wants to read it
        return CheckResult("leaks_nothing", EXPECTED, explain(error))
    problems = [f"{direction}: {what}" for direction, what in found.items() if what != PROVED]
    return CheckResult("leaks_nothing", EXPECTED, "; ".join(problems))


def _leak(record: Baseline, screen: Screen, direction: Direction) -> str:
    hidden, copies = HiddenCells(screen.cells, screen.fold, direction), list[str]()

    def ask(cells: CellTable, questions: Sequence[tuple[int, Direction]]) -> list[str]:
        model, answers = ChildModel(record, {**record.settings, **record.quick}), []
        try:
            with tempfile.TemporaryDirectory(dir=screen.train.workdir) as folder:
                train = replace(screen.train, data=CellsInMemory(read(cells, screen.fold.train)), workdir=Path(folder))
                model.fit(train, seed=SEED)
            for number, way in questions:
                condition = screen.fold.conditions[number]
                try:
                    prediction = model.predict(make_query(condition, way, cells, SEED))
                except Unsupported:
                    answers.append("")
                    continue
                answers.append(digest_of(prediction))
                if way == direction:
                    sides = condition.truth(direction), condition.input(direction)
                    means = (mean_profile(take(screen.cells, own)) for own in sides)
                    copies.append(hidden.found_in(prediction, *means)[1])
        finally:
            model.close()
        return answers

    stored = ask(screen.cells, [(number, direction) for number in range(len(screen.fold.conditions))])
    copied = next(filter(None, copies), "")
    return f"{LEAK}{copied}" if copied else prove(hidden, stored, record.directions, ask, ask, SEED)
