"""A finished run, opened again: its plan, and the cells and stored predictions of every test condition.

What is computed after a run (enrichment, embedding, audits of direction) starts here. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from benchmarks.contract import Direction, Prediction
from benchmarks.data.cell_table import CellTable
from benchmarks.errors import BenchmarkError, StoreError, UnknownName, plain_name
from benchmarks.execution import prediction_store
from benchmarks.execution.board import Kept
from benchmarks.execution.manifest import read_manifest
from benchmarks.execution.plan import BRACKETS, Plan, make_plan
from benchmarks.execution.prediction_store import Outcome, PredictionSet
from benchmarks.execution.score_store import check_means, open_means
from benchmarks.scoring.cell_sets import mean_profile, take
from benchmarks.scoring.scored_fold import own_columns
from benchmarks.seeds import derive
from benchmarks.tasks.question import Question
from benchmarks.tasks.splits import Split, TestCondition


@dataclass(frozen=True)
class DirectedCondition:
    """One test condition of one fold in one direction."""

    split: Split
    number: int
    """Its place among the split's conditions."""
    direction: Direction

    @property
    def condition(self) -> TestCondition:
        """The condition with its cells."""
        return self.split.conditions[self.number]

    @property
    def dose(self) -> float | None:
        """Target dose in nM; None where there are no doses."""
        return self.condition.dose

    @property
    def label(self) -> str:
        """Perturbation, with its dose in nM where it has one, as tables name it."""
        return self.name.removeprefix(f"{self.condition.context}/")

    @property
    def name(self) -> str:
        """Context and label."""
        return str(self.condition.condition)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it can be chosen by: with and without context and dose."""
        own = self.condition
        return self.name, self.label, f"{own.context}/{own.perturbation}", own.perturbation


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder and the plan of its data and splits; the code of its models is not needed."""

    folder: Path
    plan: Plan
    directions: Mapping[str, Sequence[str]]
    """Model of the run → the directions it takes."""
    _checked: set[Path] = field(default_factory=set)
    """Folders whose mean profiles are what was written."""

    def conditions(self, direction: Direction) -> list[DirectedCondition]:
        """Every test condition of every fold in one direction; raises `BenchmarkError` if the run has not this direction."""
        if direction not in self.plan.directions:
            raise BenchmarkError(f"{self.folder} has direction {' and '.join(self.plan.directions)}, not {direction}.")
        return [DirectedCondition(fold, n, direction) for fold in self.plan.splits for n in range(len(fold.conditions))]

    def models(self, direction: Direction, wanted: tuple[str, ...] = ()) -> list[str]:
        """Models that take a direction, of those wanted if some are; raises `UnknownName` for one that is not in the run."""
        for name in wanted:
            if name not in self.directions:
                raise UnknownName("model of this run", name, self.directions)
        able = [name for name, own in self.directions.items() if direction in own]
        return [name for name in able if not wanted or name in wanted]

    def prediction(self, asked: DirectedCondition, model: str, seed: int = 0) -> Prediction | None:
        """Read what a model predicted; None where it declined, failed or has not run.

        Raises `StoreError` where the run has not kept its predictions.
        """
        folder, outcome = self._outcome(asked, model, seed)
        if outcome is None:
            return None
        if not outcome.kept:
            raise StoreError(
                f"{self.folder} has mean profiles of predictions alone, and this needs their cells; run it again with "
                "--keep-predictions and --resume."
            )
        return prediction_store.checked_prediction(folder, asked.number, outcome)

    def mean(self, asked: DirectedCondition, model: str, seed: int = 0) -> np.ndarray | None:
        """Read the mean profile of what a model predicted [gene]; None as for `prediction`."""
        folder, outcome = self._outcome(asked, model, seed)
        if outcome is None:
            return None
        if folder not in self._checked:
            check_means(folder, outcome)
            self._checked.add(folder)
        with open_means(folder) as means:
            return means[asked.number]

    def _outcome(self, asked: DirectedCondition, model: str, seed: int) -> tuple[Path, Outcome | None]:
        """Find a set of predictions; no outcome where the condition has none."""
        folder = PredictionSet(model, asked.direction, self.plan.protocol, asked.split.fold, seed).folder(self.folder)
        outcome = prediction_store.get_outcome(folder)
        return folder, outcome if outcome and outcome.endings[asked.number].status == "ok" else None

    def cells_of(self, split: Split) -> CellTable:
        """Cells as the models of a fold saw them."""
        return self.plan.cells_of(split, self.folder)


def changes(cells: CellTable, asked: DirectedCondition) -> tuple[np.ndarray, np.ndarray]:
    """True change T − R [gene] of a condition, and the mean profile I [gene] that a prediction starts from.

    I and R share no cell, so that the noise of one control mean is not on both sides (docs/decisions/metrics.md).
    """
    own, way = asked.condition, asked.direction
    truth, reference, start = _means(cells, own.truth(way), own.reference(way), own.input(way))
    return truth - reference, start


def half_changes(cells: CellTable, asked: DirectedCondition, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Change of one random half of the true cells from I, and of the other half from R [gene]: what a split half compares."""
    own, way = asked.condition, asked.direction
    order = np.random.default_rng(derive(seed, "halves", way, asked.name)).permutation(own.truth(way))
    first, second = (np.sort(part) for part in np.array_split(order, 2))
    one, other, start, reference = _means(cells, first, second, own.input(way), own.reference(way))
    return one - start, other - reference


def _means(cells: CellTable, *parts: np.ndarray) -> Iterator[np.ndarray]:
    return (mean_profile(take(cells, part)) for part in parts)


def own_genes(asked: DirectedCondition, genes: Iterable[str]) -> np.ndarray:
    """Columns of the perturbed genes that are measured."""
    columns = own_columns([asked.condition.perturbation], genes)[0]
    return columns[columns >= 0]


def choose(conditions: list[DirectedCondition], wanted: tuple[str, ...]) -> list[DirectedCondition]:
    """Pick conditions by name; raises `UnknownName` for a name that fits none, with the nearest one that does.

    A name is "PERTURBATION" or "CONTEXT/PERTURBATION", each with or without its dose (" 1000 nM"), in any case of letters; a
    compound's first word ("Temsirolimus") does, and so does a simulated one without its "SIM_".
    """
    found: list[DirectedCondition] = []
    for name in wanted:
        fits = [c for c in conditions if name in c.names] or [c for c in conditions if _alike(plain_name(name), c)]
        if not fits:
            raise UnknownName("condition", name, {n for c in conditions for n in c.names[1:4]})
        found += [c for c in fits if c not in found]
    return found


def _alike(name: str, given: DirectedCondition) -> bool:
    """Compare plain names; a compound's first word does."""
    names = [plain_name(n) for n in given.names]
    return name in (*names, names[-1].split(" ")[0])


def reopen(folder: Path, data_dir: Path | None = None) -> FinishedRun:
    """Open a finished run: make its plan from the question in its manifest, and check that it is the same.

    Plugins that the manifest names are not imported, so that opening a folder never runs code of whoever made it. `data_dir`
    is a folder with local copies of the data, where it is another than the run had. Raises `StoreError` if the folder holds
    no run of this version, or one of other data or splits than are here now.
    """
    manifest = read_manifest(folder)
    try:
        question = TypeAdapter(Question).validate_python(manifest["question"])
        models = TypeAdapter(dict[str, Kept]).validate_python(manifest["models"])
    except (KeyError, ValidationError) as error:
        raise StoreError(
            f"{folder} has no manifest.json of this version; give the folder of a run, or run it again with --resume "
            "(what is finished is not trained again)."
        ) from error
    data = manifest.get("execution", {}).get("data_dir")
    modelless = replace(question, models=BRACKETS, plugins=(), settings={})
    plan = make_plan(modelless, data_dir or (Path(data) if data else None))
    splits = {f"{plan.protocol}-fold{fold}": digest for fold, digest in plan.split_digests.items()}
    if plan.key != manifest.get("key") or splits != manifest.get("splits"):
        raise StoreError(
            f"{folder} was made from other data, splits or settings than are here now; run it again with --resume, or name "
            "its data with --data-dir."
        )
    return FinishedRun(folder, plan, {name: kept.directions for name, kept in models.items()})
