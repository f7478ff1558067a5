"""The conformance suite of predictors: what `cycseq-bench check my_model.py` runs, and the tests run on every predictor.

Every check runs on a tiny simulated screen and says what it expects.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.contract import Baseline, Direction, Prediction, Query, Train
from benchmarks.data.cell_table import CellTable, read, select
from benchmarks.data.dataset import load_dataset
from benchmarks.data.expression_space import to_space
from benchmarks.errors import ContractError, PluginError, Unsupported, explain
from benchmarks.execution.models.child_model import ChildModel, Model
from benchmarks.execution.models.local_model import READ_BY, LocalModel
from benchmarks.execution.models.model_environment import create, environment_of
from benchmarks.execution.unit import make_query
from benchmarks.tasks.splits import Split, split
from benchmarks.training_data import CellsInMemory

HEAVY = ("torch", "scvi", "scgen", "gears", "biolord", "scanpy", "lightning", "sklearn", "ot", "jax", "ott", "flax")
"""Packages that importing a plugin file may not import: listing models must stay cheap."""
SEED = 7
RUNS = (
    "fit and predict run on a tiny screen with the quick settings and leave their cells as they were; predictions are "
    "finite, one column a gene"
)


@dataclass(frozen=True)
class Screen:
    """A tiny simulated screen with one fold, and what `fit` gets of it."""

    cells: CellTable
    fold: Split
    train: Train

    def queries(self, direction: Direction) -> list[Query]:
        """All queries of the fold in one direction."""
        return [make_query(c, direction, self.cells, SEED) for c in self.fold.conditions]


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome."""

    name: str
    expectation: str
    problem: str = ""
    """Empty if the check passed."""


def tiny_screen(workdir: Path) -> Screen:
    """Take the smoke screen, each knock-out held out in one context."""
    dataset = load_dataset("smoke_simulated")
    chosen = select(dataset.cells, (dataset.cells.obs["arm"] == "noNK").to_numpy())
    cells, space = to_space(chosen, dataset.card.space)
    fold = split(cells.obs, "unseen_context", 0)
    train = Train(
        cells=read(cells, fold.train),
        space=space,
        perturbation_type=dataset.card.perturbation_type,
        annotation=dataset.annotation,
        workdir=workdir,
    )
    return Screen(cells, fold, train)


Answers = list[tuple[Query, Prediction]]


@dataclass(frozen=True)
class Case:
    """A trained predictor, and all predictions of it and of a second training with the same seed."""

    record: Baseline
    screen: Screen
    model: Model
    first: Answers
    second: Answers
    changed_global_state: bool


def open_model(record: Baseline) -> Model:
    """Build a predictor with its quick settings, in the environment that its record names, which is made if need be."""
    settings = {**record.settings, **record.quick}
    if not record.isolated:
        return LocalModel(record, settings)
    create(environment_of(record))
    return ChildModel(record, settings)


def fitted(record: Baseline, train: Train, seed: int) -> Model:
    """Build with the quick settings, and fit in a fresh working folder."""
    model = open_model(record)
    with tempfile.TemporaryDirectory(dir=train.workdir) as folder:
        model.fit(replace(train, data=CellsInMemory(train.cells.copy()), workdir=Path(folder)), seed=seed)
    return model


def try_out(record: Baseline, screen: Screen) -> Case:
    """Fit twice and predict every query each time."""
    queries = [query for direction in record.directions for query in screen.queries(direction)]
    state = _random_state()
    model = fitted(record, screen.train, SEED)
    first = _answers(model, queries)
    second = _answers(fitted(record, screen.train, SEED), queries)
    return Case(record, screen, model, first, second, _random_state() != state)


def _answers(model: Model, queries: list[Query]) -> Answers:
    """Predict; conditions that a model declares unsupported are left out."""
    found = []
    for query in queries:
        with suppress(Unsupported):
            found.append((query, model.predict(query)))
    return found


# --- the checks: each returns what is wrong, or "" --------------------------------------------------------------------


def has_methods(case: Case) -> str:
    """`build()` makes an object with the methods fit and predict, with default and with quick settings."""
    for settings in (case.record.settings, {**case.record.settings, **case.record.quick}):
        try:
            open_model(replace(case.record, quick=settings)).close()
        except ContractError as error:
            return str(error)
    return ""


def says_what_it_is(case: Case) -> str:
    """The record has a summary and a source."""
    stated = case.record.summary.strip() and case.record.source.strip()
    return "" if stated else "summary or source is empty; a reader of the table needs both."


def answers_something(case: Case) -> str:
    """In each declared direction at least one condition is predicted."""
    missing = ", ".join(set(case.record.directions) - {query.direction for query, _ in case.first})
    return f"no condition was predicted in direction {missing}; state only what the model takes." if missing else ""


def repeats_itself(case: Case) -> str:
    """Two trainings with one seed predict the same, to 1e-5."""
    return _difference(case.first, case.second, "two trainings with the same seed")


def forgets_queries(case: Case) -> str:
    """A prediction does not depend on what was asked before."""
    return _difference(case.first[:1], _answers(case.model, [case.first[0][0]]), "the same query asked twice")


def survives_saving(case: Case) -> str:
    """If it has save and load, the loaded predictor predicts the same."""
    if not case.model.persistent:
        return ""
    with tempfile.TemporaryDirectory(dir=case.screen.train.workdir) as folder:
        case.model.save(Path(folder))
        restored = open_model(case.record)
        restored.load(Path(folder))
        asked = case.first[:1] + case.first[-1:]
        return _difference(asked, _answers(restored, [query for query, _ in asked]), "the saved and the loaded model")


def states_what_it_reads(case: Case) -> str:
    """The record asks for no more than fit reads."""
    needs = case.record.needs
    if isinstance(case.model, ChildModel) or needs == case.model.read.most:
        return ""
    return f"needs is {needs!r}, but {READ_BY[needs]} was not read; say needs={case.model.read.most!r}."


def keeps_random_state(case: Case) -> str:
    """NumPy's global random state is the same before and after fit and predict."""
    used = case.changed_global_state
    return "the global NumPy generator was used; take np.random.default_rng(seed)." if used else ""


CHECKS: tuple[Callable[[Case], str], ...] = (
    has_methods,
    says_what_it_is,
    answers_something,
    repeats_itself,
    forgets_queries,
    survives_saving,
    states_what_it_reads,
    keeps_random_state,
)


def check(record: Baseline, screen: Screen) -> list[CheckResult]:
    """Run all checks on one record; a fit or prediction that fails is one failed check, and ends it."""
    try:
        case = try_out(record, screen)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its author wants to read it
        return [CheckResult("runs", RUNS, explain(error))]
    results = [CheckResult("runs", RUNS)]
    for function in CHECKS:
        try:
            problem = function(case)
        except Exception as error:  # noqa: BLE001 - as above
            problem = explain(error)
        results.append(CheckResult(function.__name__, str(function.__doc__), problem))
    return results


def heavy_imports(*paths: Path) -> list[str]:
    """Name the heavy packages that importing plugin files pulls in, as "file: package"."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.registry import load_all\n"
        "for path in sys.argv[1:]:\n"
        "    before = set(sys.modules); load_all(path)\n"
        f"    [print(f'{{Path(path).name}}: {{m}}') for m in {HEAVY!r} if m in set(sys.modules) - before]"
    )
    command = [sys.executable, "-c", code, *(str(path.resolve()) for path in paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginError(f"a file cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.splitlines()


def _random_state() -> str:
    return repr(np.random.get_state())  # noqa: NPY002


def same_values(first: Prediction, second: Prediction) -> bool:
    """Whether two predictions have the same values, to 1e-5."""
    return first.values.shape == second.values.shape and np.allclose(first.dense(), second.dense(), atol=1e-5)


def _difference(first: Answers, second: Answers, what: str) -> str:
    if len(first) != len(second):
        return f"{what}: {len(first)} and {len(second)} conditions were predicted."
    for (query, a), (_, b) in zip(first, second, strict=True):
        if not same_values(a, b):
            return f"{what} differ for {query.perturbation} in {query.context} ({query.direction})."
    return ""
