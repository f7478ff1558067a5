"""From a question to a plan: data, folds, models, and one `RunSpec` for each training. Nothing is trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd

from benchmarks import registry
from benchmarks.contract import CONTROL, DIRECTIONS, Baseline, Direction
from benchmarks.data.cell_table import CellTable, held
from benchmarks.data.dataset import Dataset
from benchmarks.data.store.content_hash import ContentHash
from benchmarks.errors import BenchmarkError, DataError, UnknownName
from benchmarks.execution.ledger import check_unchanged
from benchmarks.execution.prediction_store import PredictionSet, get_outcome
from benchmarks.seeds import derive
from benchmarks.tasks.batch_correction.batches import BatchCorrection
from benchmarks.tasks.conditions import EVERYTHING, MIN_CELLS, conditions, groups_of, tell_untested
from benchmarks.tasks.fold_statistics import ABOUT, FoldStatistics, fold_statistics, kept_statistics
from benchmarks.tasks.leakage import fingerprints
from benchmarks.tasks.protocol import find_protocol, list_protocols
from benchmarks.tasks.question import Question, content_key
from benchmarks.tasks.selection import choose
from benchmarks.tasks.session import EMPTY, Session
from benchmarks.tasks.splits import Split, n_folds, split
from benchmarks.tasks.suites import Suite, find_suite, own_suite

BRACKETS = ("no_change", "train_mean", "train_control")
"""Models of every run: failed conditions take the score of the first, gains are measured from the second, and in p2n from
the third."""


@dataclass(frozen=True)
class RunSpec:
    """One training in one fold with everything that its outcome depends on, and the sets of predictions that it serves."""

    key: str
    """Content hash of data, split, settings and seed: two trainings with the same key have the same outcome."""
    record: Baseline
    fold: int
    seed: int
    """What `fit` gets."""
    settings: Mapping[str, object]
    sets: tuple[PredictionSet, ...]

    @property
    def name(self) -> str:
        """Models, directions, fold and seed, for progress and messages."""
        models = " + ".join(dict.fromkeys(s.model for s in self.sets))
        directions = ", ".join(dict.fromkeys(s.direction for s in self.sets))
        return f"{models} ({directions}), fold {self.fold}, seed {self.sets[0].seed}"

    @property
    def budget(self) -> str:
        """Budget of the training, see `budget_of`."""
        return budget_of(self.record, self.settings)

    def fitted(self, run: Path) -> Path:
        """Folder of the trained predictor, where it can be saved."""
        return run / "fitted" / f"{self.record.name}-{self.key[:16]}"

    def due(self, run: Path) -> list[PredictionSet]:
        """Sets that have no outcome of this key yet, or one with failures."""
        found = {s: get_outcome(s.folder(run)) for s in self.sets}
        return [s for s, o in found.items() if o is None or o.key != self.key or (o.failed and not o.leaks)]

    def unproved(self, run: Path) -> list[PredictionSet]:
        """Sets with predictions that no audit has found fault with, and that are not proved yet."""
        found = {s: get_outcome(s.folder(run)) for s in self.sets}
        return [s for s, o in found.items() if o and o.key == self.key and o.audit == "clean" and any(o.digests)]


@dataclass(frozen=True)
class Plan:
    """A question with its data, folds and models."""

    suite: Suite
    question: Question
    """As it was asked, with protocol, kind of data and reference batch filled in."""
    directions: tuple[Direction, ...]
    dataset: Dataset
    cells: CellTable
    """Cells of the suite's arm, in the run's space."""
    space: str
    splits: tuple[Split, ...]
    baselines: Mapping[str, Baseline]
    integration: BatchCorrection | None = None
    session: Session = EMPTY
    """Objects that it was made with."""

    @property
    def protocol(self) -> str:
        """Name of the protocol."""
        return self.question.protocol or ""

    @property
    def labels(self) -> dict[str, object]:
        """Name the task, as the first columns of every table of results."""
        card = self.dataset.card
        return {"suite": self.suite.name, "dataset": card.name, "source": card.source, "protocol": self.protocol}

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results must know of the data: what was left out, renamed or assumed, and what is not tested."""
        tested = (c.condition for fold in self.splits for c in fold.conditions)
        return (*self.dataset.warnings, *tell_untested(self.cells.obs, tested))

    def cells_of(self, fold: Split, folder: Path) -> CellTable:
        """Cells of a fold as models see them: corrected, where asked, with the parameters that the run's folder keeps."""
        if self.integration is None:
            return self.cells
        check_unchanged(self.integration.path(folder, fold))
        return held(self.integration.read(folder, fold, self.cells))

    def prints_of(self, fold: Split, cells: CellTable) -> np.ndarray:
        """`leakage.fingerprints` of the cells of a fold; all folds share them where no cell is corrected."""
        known = self._prints
        number = -1 if self.integration is None else fold.fold
        with self._lock:
            if number not in known:
                known[number] = fingerprints(cells)
        return known[number]

    @cached_property
    def _prints(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _lock(self) -> Lock:
        return Lock()

    def seed_of(self, fold: Split) -> int:
        """Seed of what scoring draws in a fold, the halves of the training cells among it, and of the training controls."""
        return derive(self.question.base_seed, "score", fold.fold)

    def statistics_of(self, fold: Split, folder: Path, cells: CellTable | None = None) -> FoldStatistics:
        """Moments of a fold's training conditions, from `cells_of`; made once, kept in the run's folder, and shared."""
        seed = self.seed_of(fold)
        contents = [self.cells_digest, self.split_digests[fold.fold], self.integration, seed]
        place = folder / "training" / f"{fold.protocol}-fold{fold.fold}-{content_key(contents)[:16]}"
        check_unchanged(place / ABOUT)

        def make(new: Path) -> FoldStatistics:
            return fold_statistics(self.cells_of(fold, folder) if cells is None else cells, fold.train, seed, new)

        return kept_statistics(place, make)

    @cached_property
    def cells_digest(self) -> str:
        """Hash of the cells as they are scored: those of the data set, which of them, their labels, genes and space."""
        labels = ContentHash().finish(np.array([], dtype=np.int64), self.cells.obs, self.cells.var_names)
        return content_key([self.dataset.digest, labels, self.space])

    @cached_property
    def split_digests(self) -> Mapping[int, str]:
        """Fold → hash of the role of every cell in it."""
        return {s.fold: s.digest(self.cells.obs.index) for s in self.splits}

    @cached_property
    def key(self) -> str:
        """Content hash of what all trainings share. A run is resumed only into a folder of the same key."""
        annotation = {gene: sorted(terms) for gene, terms in self.dataset.annotation.items()}
        contents = {"suite": self.suite.name, "own": self.dataset.digest, "annotation": content_key(annotation)}
        return content_key(self.question.fixed() | contents)

    @cached_property
    def specs(self) -> tuple[RunSpec, ...]:
        """All trainings, one for all models and directions that share it."""
        groups: dict[tuple[int, int, str], list[PredictionSet]] = {}
        for seed, fold, record in product(range(self.question.seeds), self.splits, self.baselines.values()):
            training = content_key({"training": record.training, "settings": settings_of(record, self.question)})
            for direction in self.directions:
                if direction in record.directions:
                    entry = PredictionSet(record.name, direction, self.protocol, fold.fold, seed)
                    groups.setdefault((seed, fold.fold, training), []).append(entry)
        return tuple(self._spec(sets) for sets in groups.values())

    def _spec(self, sets: list[PredictionSet]) -> RunSpec:
        record, fold = self.baselines[sets[0].model], self.splits[sets[0].fold]
        settings = settings_of(record, self.question)
        labels = self.dataset.card.name, self.protocol, fold.fold, record.training
        training_seed = derive(self.question.base_seed + sets[0].seed, *labels)
        key = content_key(
            {
                "run": self.key,
                "split": self.split_digests[fold.fold],
                "training": record.training,
                "settings": settings,
                "seed": training_seed,
                "requirements": record.requirements,
            }
        )
        return RunSpec(key, record, fold.fold, training_seed, settings, tuple(sets))


def make_plan(question: Question, data_dir: Path | None = None, session: Session = EMPTY) -> Plan:
    """Resolve names, load data and make splits; every mistake in a question is found here, before anything is trained.

    `data_dir` is a folder with local copies of data files; `session` has what the question names that is in no file. Raises
    `BenchmarkError` for names that are not known (with the nearest known one), data that are missing or not usable, and folds
    that do not exist.
    """
    suite = (own_suite(question.own.name) if question.own else find_suite(question.suite)).under(question.control_rule)
    protocol = question.protocol or suite.protocol
    if protocol:
        find_protocol(protocol)
    names = dict.fromkeys((*BRACKETS, *(question.models or suite.models)))
    baselines = registry.find_all(names, question.plugins, session.models)
    _check_settings(question, baselines)
    chosen = choose(question, suite, data_dir, session)
    cells, card, space = chosen.cells, chosen.dataset.card, chosen.space
    protocol = protocol or _first_protocol(cells.obs)
    most = n_folds(cells.obs, protocol, chosen.scope)
    folds = question.folds or (min(most, suite.quick_folds) if question.preset == "quick" else most)
    if folds > most:
        raise DataError(f"--folds {folds}: protocol '{protocol}' has {most} fold(s) on {card.name}.")
    splits = tuple(
        split(cells.obs, protocol, n, seed=question.base_seed, scope=chosen.scope, input_cells=question.input_cells)
        for n in range(folds)
    )
    integration = None
    if question.integration != "none":
        integration = BatchCorrection.of(question.integration, card.name, question.reference, cells.obs)
        integration.check(cells.obs, splits)
        space = f"{space}_combat"
    resolved = replace(
        question,
        protocol=protocol,
        data=chosen.data,
        reference=integration.reference if integration else None,
    )
    return Plan(
        suite=suite,
        question=resolved,
        directions=_directions(question, suite, protocol),
        dataset=chosen.dataset,
        cells=cells,
        space=space,
        splits=splits,
        baselines=baselines,
        integration=integration,
        session=session,
    )


def settings_of(record: Baseline, question: Question) -> dict[str, object]:
    """Settings a model runs with: the preset's, then those of `--set`."""
    preset = dict(record.quick) if question.preset == "quick" else {}
    return {**record.settings, **preset, **question.settings.get(record.name, {})}


def budget_of(record: Baseline, settings: Mapping[str, object]) -> str:
    """Return "quick" where any setting lies below the authors' own training length, else "full"."""
    given = ((settings.get(name), full) for name, full in record.full_training.items())
    return "quick" if any(isinstance(value, int | float) and value < full for value, full in given) else "full"


def _first_protocol(obs: pd.DataFrame) -> str:
    """Choose the first protocol that is not leaky and that these cells allow; raises `DataError` if none is."""
    table = conditions(obs)
    for kind in list_protocols().values():
        if not kind.leaky and kind.count_folds(table, EVERYTHING):
            return kind.name
    sizes = [len(cells) for condition, cells in groups_of(obs).items() if condition.perturbation != CONTROL]
    raise DataError(
        f"No condition has {MIN_CELLS} perturbed cells or more, so none can be tested; the largest of {len(sizes)} has "
        f"{max(sizes, default=0)}."
    )


def _directions(question: Question, suite: Suite, protocol: str) -> tuple[Direction, ...]:
    for name in question.directions:
        if name not in DIRECTIONS:
            raise UnknownName("direction", name, DIRECTIONS)
    given, possible = question.directions or suite.directions, find_protocol(protocol).directions
    if not set(given) & set(possible):
        raise BenchmarkError(
            f"Protocol '{protocol}' tests direction {', '.join(possible)}; --direction is {', '.join(given)}."
        )
    return tuple(d for d in possible if d in given)


def _check_settings(question: Question, baselines: Mapping[str, Baseline]) -> None:
    """Raise `BenchmarkError` for settings of a model that is not in the run, that it does not have, or that it refuses."""
    for name, settings in question.settings.items():
        if name not in baselines:
            raise BenchmarkError(
                f"--set {name}.…: '{name}' is not in this run; add it to --models. In it: {', '.join(baselines)}."
            )
        known = registry.parameters_of(baselines[name])
        for key in settings:
            if key not in known:
                raise UnknownName(f"setting of {name}", key, known)
        why = registry.refusal(baselines[name], settings_of(baselines[name], question))
        if why:
            given = ", ".join(f"{k}={v}" for k, v in settings.items())
            raise BenchmarkError(f"--set {name}: {given}: {why}.")
