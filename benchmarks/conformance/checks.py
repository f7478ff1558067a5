"""The conformance suite of predictors: what `cycseq-bench check my_model.py` runs, and the tests run on every predictor.

Every check runs on a tiny simulated screen and says what it expects.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from anndata import AnnData

from benchmarks.conformance.capabilities import expectation, problems
from benchmarks.contract import Baseline, Direction, Prediction, Predictor, Query, Train
from benchmarks.data.dataset import load_dataset
from benchmarks.data.expression_space import to_space
from benchmarks.errors import BenchmarkError, ContractError, Unsupported, explain
from benchmarks.execution.models.local_model import LocalModel
from benchmarks.execution.models.model_environment import create, environment_of
from benchmarks.execution.models.remote_model import Model, RemoteModel
from benchmarks.execution.models.unit_files import plain
from benchmarks.execution.prediction_store import PredictionSet
from benchmarks.execution.unit import make_query
from benchmarks.tasks.splits import Split, split

HEAVY = ("torch", "scvi", "scgen", "gears", "biolord", "scanpy", "lightning", "sklearn", "ot", "jax", "ott", "flax")
"""Packages that importing a plugin file may not import: listing models must stay cheap."""
SEED = 7


class Violation(BenchmarkError):
    """A predictor does not do what the contract asks."""


@dataclass(frozen=True)
class Screen:
    """A tiny simulated screen with one fold, and what `fit` gets of it."""

    cells: AnnData
    fold: Split
    train: Train

    def queries(self, direction: Direction) -> list[Query]:
        """All queries of the fold in one direction."""
        entry = PredictionSet("check", direction, self.fold.protocol, self.fold.fold, SEED)
        return [make_query(c, entry, self.cells, SEED) for c in self.fold.conditions]


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome."""

    name: str
    expectation: str
    problem: str
    """Empty if the check passed."""


def tiny_screen(workdir: Path) -> Screen:
    """Take the smoke screen, each knock-out held out in one context."""
    dataset = load_dataset("smoke_simulated")
    cells, space = to_space(dataset.cells[(dataset.cells.obs["arm"] == "noNK").to_numpy()].copy(), dataset.card.space)
    fold = split(cells.obs, "unseen_context", 0)
    train = Train(
        cells=plain(cells[fold.train]),
        space=space,
        perturbation_type=dataset.card.perturbation_type,
        annotation=dataset.annotation,
        workdir=workdir,
    )
    return Screen(cells, fold, train)


Answers = list[tuple[Query, Prediction]]


@dataclass(frozen=True)
class Trial:
    """One training of a predictor, and all its predictions."""

    model: Model
    answers: Answers
    changed_global_state: bool


def open_model(record: Baseline) -> Model:
    """Build a predictor with its quick settings, in the environment that its record names."""
    settings = {**record.settings, **record.quick}
    return RemoteModel(record, settings) if record.isolated else LocalModel(record, settings)


def try_out(record: Baseline, screen: Screen) -> Trial:
    """Build with the quick settings, fit in a fresh working folder, predict every query."""
    state = _global_state()
    model = open_model(record)
    with tempfile.TemporaryDirectory(dir=screen.train.workdir) as folder:
        model.fit(replace(screen.train, cells=screen.train.cells.copy(), workdir=Path(folder)), seed=SEED)
    return Trial(model, answers(record, model, screen), _global_state() != state)


def answers(record: Baseline, model: Model, screen: Screen) -> Answers:
    """All predictions of a model on the screen; conditions it declares unsupported are left out."""
    found = []
    for query in (query for direction in record.directions for query in screen.queries(direction)):
        try:
            found.append((query, model.predict(query)))
        except Unsupported:
            continue
    return found


# --- the checks: (record, screen, two trials with the same seed) → None, or a Violation -------------------------------


def has_methods(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """`build()` makes an object with the methods fit and predict, with default and with quick settings."""
    for made in (record.build(**record.settings), record.build(**{**record.settings, **record.quick})):
        if not isinstance(made, Predictor):
            raise Violation(f"build made a {type(made).__name__} that lacks fit or predict.")


def says_what_it_is(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """The record has a summary and a source."""
    if not record.summary.strip() or not record.source.strip():
        raise Violation("summary or source is empty; a reader of the table needs both.")


def answers_something(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """In each declared direction at least one condition is predicted."""
    for direction in record.directions:
        if not any(query.direction == direction for query, _ in first.answers):
            raise Violation(
                f"no condition was predicted in direction {direction}; declare only what the model can take."
            )


def repeats_itself(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """Two trainings with one seed predict the same, to 1e-5."""
    _compare(first.answers, second.answers, "two trainings with the same seed")


def forgets_queries(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """A prediction does not depend on what was asked before."""
    query, expected = first.answers[0]
    _compare([(query, expected)], [(query, first.model.predict(query))], "the same query asked twice")


def survives_saving(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """If it has save and load, the loaded predictor predicts the same."""
    if not first.model.persistent:
        return
    with tempfile.TemporaryDirectory(dir=screen.train.workdir) as folder:
        first.model.save(Path(folder))
        restored = open_model(record)
        restored.load(Path(folder))
        asked = first.answers[:1] + first.answers[-1:]
        _compare(asked, [(query, restored.predict(query)) for query, _ in asked], "the saved and the loaded model")


def keeps_random_state(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """NumPy's global random state is the same before and after fit and predict."""
    if first.changed_global_state or second.changed_global_state:
        raise Violation("the global NumPy generator was used; take np.random.default_rng(seed).")


CHECKS: tuple[Callable[[Baseline, Screen, Trial, Trial], None], ...] = (
    has_methods,
    says_what_it_is,
    answers_something,
    repeats_itself,
    forgets_queries,
    survives_saving,
    keeps_random_state,
)


def check(record: Baseline, screen: Screen) -> list[CheckResult]:
    """Run all checks on one record; a fit or prediction that fails is one failed check, and ends it.

    An isolated model is checked in its own environment, which is made first if need be.
    """
    expectation = (
        "fit and predict run on a tiny screen with the quick settings and leave their cells as they were; predictions are "
        "finite, one column a gene"
    )
    try:
        if record.isolated:
            create(environment_of(record))
        first, second = try_out(record, screen), try_out(record, screen)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its author wants to read it
        return [CheckResult("runs", expectation, explain(error))]
    return [CheckResult("runs", expectation, ""), *(_run(c, record, screen, first, second) for c in CHECKS)]


def check_abilities(record: Baseline, screen: Screen) -> list[CheckResult]:
    """Check what the record states in `can`, each on a training that leaves something out; it is trained twice more."""
    try:
        found = problems(record, screen.train, screen.queries(record.directions[0]))
    except Exception as error:  # noqa: BLE001 - as in check
        return [CheckResult("can", "it can be trained on a part of the screen, and on doses", explain(error))]
    return [CheckResult(f"can_{name}", expectation(record, name), problem) for name, problem in found.items()]


def _global_state() -> str:
    """NumPy's global random state."""
    state = np.random.get_state(legacy=True)  # noqa: NPY002
    return repr([part.tobytes() if isinstance(part, np.ndarray) else part for part in state])


def heavy_imports(*paths: Path) -> list[str]:
    """Name the heavy packages that importing plugin files pulls in, as "file: package"."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.registry import from_file\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    before = set(sys.modules); from_file(path)\n"
        f"    [print(f'{{path.name}}: {{m}}') for m in {HEAVY!r} if m in set(sys.modules) - before]"
    )
    command = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Violation(f"a file cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.splitlines()


def _run(
    function: Callable[[Baseline, Screen, Trial, Trial], None],
    record: Baseline,
    screen: Screen,
    first: Trial,
    second: Trial,
) -> CheckResult:
    expectation = (function.__doc__ or "").strip()
    try:
        function(record, screen, first, second)
    except (Violation, ContractError) as error:
        return CheckResult(function.__name__, expectation, str(error))
    except Exception as error:  # noqa: BLE001 - as in check
        return CheckResult(function.__name__, expectation, explain(error))
    return CheckResult(function.__name__, expectation, "")


def _compare(first: Answers, second: Answers, what: str) -> None:
    if len(first) != len(second):
        raise Violation(f"{what}: {len(first)} and {len(second)} conditions were predicted.")
    for (query, a), (_, b) in zip(first, second, strict=True):
        if a.values.shape != b.values.shape or not np.allclose(a.values, b.values, atol=1e-5):
            raise Violation(f"{what} differ for {query.perturbation} in {query.context} ({query.direction}).")
