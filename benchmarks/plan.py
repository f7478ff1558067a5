"""From the command line's wishes to a plan: data, folds, models, settings, seeds. Nothing is trained here."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd
from anndata import AnnData

from benchmarks import data, registry
from benchmarks.contract import DIRECTIONS, Baseline, Direction
from benchmarks.data import Dataset
from benchmarks.data.own import OwnFile, own_source
from benchmarks.errors import BenchmarkError, DataError, UnknownName
from benchmarks.integration.batches import Method
from benchmarks.integration.fold import Integration
from benchmarks.integration.harmonise import measured
from benchmarks.preprocess import SpaceChoice, to_space
from benchmarks.seeds import derive
from benchmarks.splits import MIN_CELLS, PROTOCOLS, Split, conditions, find_protocol, n_folds, split
from benchmarks.store import Task
from benchmarks.suites import Suite, find_suite, own_suite
from benchmarks.worker import Job

Preset = Literal["quick", "paper"]
BRACKETS = ("no_change", "train_mean", "train_control")
"""Models that every run has: failed conditions take the value of the first, scores are read against the second, and in
p2n against the third."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; everything else follows from it and from the data."""

    suite: str
    models: tuple[str, ...] = ()
    """Empty: the suite's own list."""
    protocol: str | None = None
    directions: tuple[str, ...] = ()
    data: Literal["auto", "real", "simulated"] = "auto"
    own: OwnFile | None = None
    """A file of the user's own, which takes the place of a suite."""
    data_dir: Path | None = None
    annotation: Path | None = None
    space: SpaceChoice = "cp10k"
    integration: Method = "none"
    reference: str | None = None
    """Batch that the others are brought to; None: the one with the most controls."""
    measured_only: bool = False
    """Keep only perturbations whose genes are measured."""
    seeds: int = 1
    folds: int | None = None
    """Number of folds; None: the preset's."""
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Model → its settings from `--set`."""
    preset: Preset = "quick"
    plugins: tuple[Path, ...] = ()
    base_seed: int = 0
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Plan:
    """Everything that will be run."""

    suite: Suite
    protocol: str
    directions: tuple[Direction, ...]
    dataset: Dataset
    cells: AnnData
    """Cells of the suite's arm, in the run's space."""
    space: str
    splits: tuple[Split, ...]
    baselines: Mapping[str, Baseline]
    request: Request
    integration: Integration | None = None

    def cells_of(self, fold: Split, folder: Path) -> AnnData:
        """Cells as models see them in a fold: corrected with its parameters, which the run's folder keeps."""
        return self.integration.read(folder, fold, self.cells) if self.integration else self.cells

    @cached_property
    def cells_digest(self) -> str:
        """Hash of the cells as they are scored: values in the run's space, labels and names."""
        return data.digest(self.cells)

    @cached_property
    def split_digests(self) -> Mapping[int, str]:
        """Fold → hash of who is where in it."""
        return {s.fold: s.digest(self.cells.obs_names) for s in self.splits}

    @cached_property
    def annotation_digest(self) -> str:
        """Hash of the gene annotation."""
        return _hash({gene: sorted(terms) for gene, terms in self.dataset.annotation.items()})

    @property
    def key(self) -> str:
        """Content hash of the question: a run is resumed only into a folder of the same key.

        Models, folds, seeds and directions are not in it, so that a resumed run can add some.
        """
        return _hash(
            {
                "data": self.dataset.digest,
                "space": self.space,
                "arm": self.suite.arm,
                "protocol": self.protocol,
                "contexts_held_out": self.suite.contexts_held_out,
                "integration": self.integration,
                "measured_only": self.request.measured_only,
                "preset": self.request.preset,
                "seed": self.request.base_seed,
                "annotation": self.annotation_digest,
            }
        )


def make_plan(request: Request) -> Plan:
    """Resolve names, load data, make splits; every mistake in the request is found here, before anything is trained.

    Raises
    ------
    BenchmarkError
        Unknown names (with the nearest known one), data that cannot be had or used, folds that do not exist.
    """
    suite = own_suite(request.own.name) if request.own else find_suite(request.suite)
    wanted_protocol = request.protocol or suite.protocol
    if wanted_protocol:
        find_protocol(wanted_protocol)
    baselines = {name: registry.find(name, request.plugins) for name in _models(request, suite)}
    _check_settings(request, baselines)
    chosen_data = own_source(request.own) if request.own else _choose_data(request, suite)
    dataset = data.load(chosen_data, data_dir=request.data_dir, annotation=request.annotation)
    chosen = dataset.cells
    if suite.arm is not None:
        chosen = chosen[(chosen.obs["arm"] == suite.arm).to_numpy()].copy()
        if chosen.n_obs == 0:
            raise DataError(
                f"{dataset.card.name} has no cell of arm '{suite.arm}'; it has "
                f"{', '.join(sorted(set(dataset.cells.obs['arm'])))}."
            )
    if request.measured_only:
        dataset, chosen = _measured_only(dataset, chosen)
    cells, space = to_space(chosen, dataset.card.space, request.space)
    protocol = wanted_protocol or _first_protocol(cells.obs)
    most = n_folds(cells.obs, protocol, suite.contexts_held_out)
    wanted = request.folds or (suite.quick_folds if request.preset == "quick" else most)
    if wanted > most:
        raise DataError(f"--folds {wanted}: protocol '{protocol}' has {most} fold(s) on {dataset.card.name}.")
    splits = tuple(
        split(cells.obs, protocol, fold, seed=request.base_seed, contexts_held_out=suite.contexts_held_out)
        for fold in range(wanted)
    )
    integration = None
    if request.integration != "none":
        integration = Integration.of(request.integration, dataset.card.name, request.reference, cells.obs)
        integration.check(cells.obs, splits)
        space = f"{space}_combat"
    directions = _directions(request, suite)
    return Plan(suite, protocol, directions, dataset, cells, space, splits, baselines, request, integration)


def _first_protocol(obs: pd.DataFrame) -> str:
    """Choose the first protocol that is not leaky and that these cells allow; raises `DataError` if none is."""
    table = conditions(obs)
    for kind in PROTOCOLS.values():
        if not kind.leaky and kind.max_folds(table, 1):
            return kind.name
    raise DataError(
        f"No condition has {MIN_CELLS} perturbed cells or more, so none can be tested; the largest of "
        f"{obs.loc[~obs['is_control']].groupby(['context', 'perturbation'], observed=True).ngroups} has "
        f"{obs.loc[~obs['is_control'], ['context', 'perturbation']].value_counts().max()}."
    )


def settings_of(baseline: Baseline, request: Request) -> dict[str, object]:
    """Settings a model runs with: the preset's, then those of `--set`."""
    preset = dict(baseline.quick) if request.preset == "quick" else {}
    return {**preset, **request.settings.get(baseline.name, {})}


def budget_of(baseline: Baseline, settings: Mapping[str, object]) -> str:
    """Say "quick" where any setting lies below the authors' own training length, else "full"."""
    short = [
        n
        for n, full in baseline.full_training.items()
        if isinstance(settings.get(n), int | float) and float(str(settings[n])) < full
    ]
    return "quick" if short else "full"


def make_jobs(plan: Plan, run: Path, cells_file: Path) -> list[Job]:
    """Lay out one job per training: all rows that share a training are in one."""
    jobs = []
    for seed in range(plan.request.seeds):
        for fold in plan.splits:
            groups: dict[str, list[Task]] = {}
            for name, baseline in plan.baselines.items():
                settings = settings_of(baseline, plan.request)
                group = _hash({"training": baseline.training, "settings": settings})
                for direction in plan.directions:
                    if direction in baseline.directions:
                        groups.setdefault(group, []).append(Task(name, direction, plan.protocol, fold.fold, seed))
            jobs += [_job(plan, run, cells_file, fold, seed, tuple(tasks)) for tasks in groups.values()]
    return jobs


def _job(plan: Plan, run: Path, cells_file: Path, fold: Split, seed: int, tasks: tuple[Task, ...]) -> Job:
    baseline, request = plan.baselines[tasks[0].model], plan.request
    settings = settings_of(baseline, request)
    task_seed = derive(request.base_seed + seed, plan.dataset.card.name, plan.protocol, fold.fold, baseline.training)
    key = _hash(
        {
            "training": baseline.training,
            "settings": settings,
            "seed": task_seed,
            "space": plan.space,
            "data": plan.dataset.digest,
            "split": plan.split_digests[fold.fold],
            "integration": plan.integration,
            "annotation": plan.annotation_digest,
            **({"requirements": baseline.requirements} if baseline.isolated else {}),
        }
    )
    return Job(
        run=run,
        cells=cells_file,
        split=fold,
        tasks=tasks,
        settings=settings,
        seed=task_seed,
        key=key,
        budget=budget_of(baseline, settings),
        space=plan.space,
        perturbation_type=plan.dataset.card.perturbation_type,
        annotation=plan.dataset.annotation,
        integration=plan.integration,
        plugins=request.plugins,
        threads=request.threads,
        device=request.device,
    )


def _measured_only(dataset: Dataset, cells: AnnData) -> tuple[Dataset, AnnData]:
    """Leave out perturbations of genes that are not measured, and say how many."""
    kept = measured(cells.obs, cells.var_names)
    before = set(cells.obs["perturbation"])
    chosen = cells[kept].copy()
    lost = len(before - set(chosen.obs["perturbation"]))
    text = f"{lost} of {len(before) - 1} perturbations left out: a gene of theirs is not measured (--measured-only)."
    return replace(dataset, warnings=(*dataset.warnings, text)), chosen


def _models(request: Request, suite: Suite) -> list[str]:
    """Names to run: those asked for and the brackets, in the registry's or the request's order, each once."""
    names = [*BRACKETS, *(request.models or suite.models)]
    return list(dict.fromkeys(names))


def _directions(request: Request, suite: Suite) -> tuple[Direction, ...]:
    for name in request.directions:
        if name not in DIRECTIONS:
            raise UnknownName("direction", name, DIRECTIONS)
    return tuple(d for d in DIRECTIONS if d in (request.directions or suite.directions))


def _choose_data(request: Request, suite: Suite) -> str:
    """Name the data set: the real one, or its simulated twin where the real one is not here."""
    if request.data == "auto":
        if suite.real and (suite.simulated is None or data.present(suite.real, request.data_dir)):
            return suite.real
        chosen = suite.simulated
    else:
        chosen = suite.real if request.data == "real" else suite.simulated
    if chosen is None:
        raise BenchmarkError(f"Suite '{suite.name}' has no {request.data} data; leave --data at 'auto'.")
    return chosen


def _check_settings(request: Request, baselines: Mapping[str, Baseline]) -> None:
    for name, settings in request.settings.items():
        if name not in baselines:
            raise BenchmarkError(
                f"--set {name}.…: '{name}' is not in this run; add it to --models. In it: {', '.join(baselines)}."
            )
        known = inspect.signature(baselines[name].build).parameters
        for key in settings:
            if key not in known:
                raise UnknownName(f"setting of {name}", key, known)
        try:
            baselines[name].build(**settings_of(baselines[name], request))
        except (TypeError, ValueError) as error:
            given = ", ".join(f"{k}={v}" for k, v in settings.items())
            raise BenchmarkError(f"--set {name}: {given}: {error}.") from error


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
