"""The conformance suite of predictors: `python -m benchmarks.check my_model.py`.

Every check runs on a tiny simulated screen (data, not results, so nothing is published from it) and says in words what it
expects. The same suite runs over all built-in predictors in the tests.
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
from benchmarks.contract import Baseline, Direction, Persistent, Prediction, Predictor, Query, Train
from benchmarks.data.dataset import load_dataset
from benchmarks.data.expression_space import to_space
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import BenchmarkError, ContractError, Unsupported, explain
from benchmarks.execution.environments import proxy
from benchmarks.execution.environments.model_environment import create, environment_of
from benchmarks.execution.prediction_store import PredictionSet
from benchmarks.execution.worker import checked_predict, make_query
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
        """All questions of the fold in one direction."""
        task = PredictionSet("check", direction, self.fold.protocol, self.fold.fold, SEED)
        return [make_query(c, task, self.cells, SEED) for c in self.fold.conditions]


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
        cells=cells[fold.train].copy(),
        space=space,
        perturbation_type=dataset.card.perturbation_type,
        annotation=dataset.annotation,
        workdir=workdir,
    )
    return Screen(cells, fold, train)


Answers = list[tuple[Query, Prediction]]


def _build(record: Baseline, *, quick: bool) -> Predictor:
    return record.build(**{**record.settings, **(record.quick if quick else {})})


@dataclass(frozen=True)
class Trial:
    """One training of a predictor, and all it answered."""

    predictor: Predictor
    answers: Answers
    changed_training: bool
    changed_global_state: bool


def try_out(record: Baseline, screen: Screen) -> Trial:
    """Build with the quick settings, fit on a copy of the training cells in a fresh working folder, ask everything."""
    cells, state = screen.train.cells.copy(), _global_state()
    predictor = proxy.build(record, {**record.settings, **record.quick}, screen.train.workdir)
    with tempfile.TemporaryDirectory(dir=screen.train.workdir) as folder:
        predictor.fit(replace(screen.train, cells=cells, workdir=Path(folder)), seed=SEED)
    found = answers(record, predictor, screen)
    return Trial(predictor, found, digest(cells) != digest(screen.train.cells), _global_state() != state)


def answers(record: Baseline, predictor: Predictor, screen: Screen) -> Answers:
    """All predictions a predictor makes on the screen; conditions it declares unsupported are left out."""
    found = []
    for direction in record.directions:
        for query in screen.queries(direction):
            try:
                found.append((query, checked_predict(predictor, query)))
            except Unsupported:
                continue
    return found


# --- the checks: (record, screen, two trials with the same seed) → None, or a Violation -------------------------------


def has_methods(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """`build()` makes an object with the methods fit and predict, with default and with quick settings."""
    for made in (_build(record, quick=False), _build(record, quick=True)):
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


def leaves_training_cells_alone(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """`fit` does not change the training cells."""
    if first.changed_training:
        raise Violation("training cells differ after fit; work on a copy (train.cells.copy()).")


def repeats_itself(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """Two trainings with one seed predict the same, to 1e-5."""
    _compare(first.answers, second.answers, "two trainings with the same seed")


def forgets_queries(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """A prediction does not depend on what was asked before."""
    query, expected = first.answers[0]
    _compare([(query, expected)], [(query, checked_predict(first.predictor, query))], "the same query asked twice")


def survives_saving(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """If it has save and load, the loaded predictor predicts the same."""
    if not isinstance(first.predictor, Persistent):
        return
    with tempfile.TemporaryDirectory(dir=screen.train.workdir) as folder:
        first.predictor.save(Path(folder))
        restored = proxy.build(record, {**record.settings, **record.quick}, screen.train.workdir)
        if not isinstance(restored, Persistent):
            raise Violation("save is there, load is not.")
        restored.load(Path(folder))
        asked = first.answers[:1] + first.answers[-1:]
        again = [(query, checked_predict(restored, query)) for query, _ in asked]
        _compare(asked, again, "the saved and the loaded model")


def keeps_random_state(record: Baseline, screen: Screen, first: Trial, second: Trial) -> None:
    """NumPy's global random state is the same before and after fit and predict."""
    if first.changed_global_state or second.changed_global_state:
        raise Violation("the global NumPy generator was used; take np.random.default_rng(seed).")


CHECKS: tuple[Callable[[Baseline, Screen, Trial, Trial], None], ...] = (
    has_methods,
    says_what_it_is,
    answers_something,
    leaves_training_cells_alone,
    repeats_itself,
    forgets_queries,
    survives_saving,
    keeps_random_state,
)


def check(record: Baseline, screen: Screen) -> list[CheckResult]:
    """Run all checks on one record; a fit or prediction that fails is one failed check, and ends it.

    An isolated model is checked in its own environment, which is made first if need be.
    """
    expectation = "fit and predict run on a tiny screen with the quick settings; answers are finite, one column a gene"
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
    """NumPy's global random state, which nobody else here looks at."""
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
