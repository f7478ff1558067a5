"""From the command line's wishes to a plan: data, folds, models, settings, seeds. Nothing is trained here."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from anndata import AnnData

from benchmarks import registry
from benchmarks.contract import CONTROL, DIRECTIONS, Baseline, Direction
from benchmarks.data.dataset import Dataset
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import BenchmarkError, DataError, UnknownName
from benchmarks.execution.prediction_store import PredictionSet
from benchmarks.execution.worker import Job
from benchmarks.seeds import derive
from benchmarks.tasks.batch_correction.per_fold import Integration
from benchmarks.tasks.conditions import EVERYTHING, MIN_CELLS, Scope, conditions, groups_of
from benchmarks.tasks.protocols import PROTOCOLS, find_protocol
from benchmarks.tasks.question import Question
from benchmarks.tasks.selection import choose
from benchmarks.tasks.splits import Split, n_folds, split
from benchmarks.tasks.suites import Suite, find_suite, own_suite

BRACKETS = ("no_change", "train_mean", "train_control")
"""Models that every run has: failed conditions take the value of the first, scores are read against the second, and in
p2n against the third."""


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
    request: Question
    scope: Scope = EVERYTHING
    integration: Integration | None = None

    def cells_of(self, fold: Split, folder: Path) -> AnnData:
        """Cells as models see them in a fold: corrected with its parameters, which the run's folder keeps."""
        return self.integration.read(folder, fold, self.cells) if self.integration else self.cells

    @cached_property
    def cells_digest(self) -> str:
        """Hash of the cells as they are scored: values in the run's space, labels and names."""
        return digest(self.cells)

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
                "control_rule": self.request.control_rule,
                "protocol": self.protocol,
                "scope": asdict(self.scope),
                "size": self.suite.quick_size if self.request.preset == "quick" else None,
                "integration": self.integration,
                "measured_only": self.request.measured_only,
                "preset": self.request.preset,
                "seed": self.request.base_seed,
                "annotation": self.annotation_digest,
            }
        )


def make_plan(request: Question) -> Plan:
    """Resolve names, load data, make splits; every mistake in the request is found here, before anything is trained.

    Raises
    ------
    BenchmarkError
        Unknown names (with the nearest known one), data that cannot be had or used, folds that do not exist.
    """
    suite = own_suite(request.own.name) if request.own else find_suite(request.suite)
    suite = suite.under(request.control_rule)
    wanted_protocol = request.protocol or suite.protocol
    if wanted_protocol:
        find_protocol(wanted_protocol)
    baselines = {name: registry.find(name, request.plugins) for name in _models(request, suite)}
    _check_settings(request, baselines)
    chosen = choose(request, suite)
    cells, scope, space = chosen.cells, chosen.scope, chosen.space
    protocol = wanted_protocol or _first_protocol(cells.obs)
    directions = _directions(request, suite, protocol)
    most = n_folds(cells.obs, protocol, scope)
    wanted = request.folds or (min(most, suite.quick_folds) if request.preset == "quick" else most)
    if wanted > most:
        raise DataError(f"--folds {wanted}: protocol '{protocol}' has {most} fold(s) on {chosen.dataset.card.name}.")
    splits = tuple(split(cells.obs, protocol, fold, seed=request.base_seed, scope=scope) for fold in range(wanted))
    integration = None
    if request.integration != "none":
        integration = Integration.of(request.integration, chosen.dataset.card.name, request.reference, cells.obs)
        integration.check(cells.obs, splits)
        space = f"{space}_combat"
    return Plan(
        suite, protocol, directions, chosen.dataset, cells, space, splits, baselines, request, scope, integration
    )


def _first_protocol(obs: pd.DataFrame) -> str:
    """Choose the first protocol that is not leaky and that these cells allow; raises `DataError` if none is."""
    table = conditions(obs)
    for kind in PROTOCOLS.values():
        if not kind.leaky and kind.folds(table, EVERYTHING):
            return kind.name
    sizes = [len(cells) for condition, cells in groups_of(obs).items() if condition.perturbation != CONTROL]
    raise DataError(
        f"No condition has {MIN_CELLS} perturbed cells or more, so none can be tested; the largest of {len(sizes)} has "
        f"{max(sizes, default=0)}."
    )


def settings_of(baseline: Baseline, request: Question) -> dict[str, object]:
    """Settings a model runs with: the preset's, then those of `--set`."""
    preset = dict(baseline.quick) if request.preset == "quick" else {}
    return {**baseline.settings, **preset, **request.settings.get(baseline.name, {})}


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
            groups: dict[str, list[PredictionSet]] = {}
            for name, baseline in plan.baselines.items():
                settings = settings_of(baseline, plan.request)
                group = _hash({"training": baseline.training, "settings": settings})
                for direction in plan.directions:
                    if direction in baseline.directions:
                        groups.setdefault(group, []).append(
                            PredictionSet(name, direction, plan.protocol, fold.fold, seed)
                        )
            jobs += [_job(plan, run, cells_file, fold, seed, tuple(tasks)) for tasks in groups.values()]
    return jobs


def _job(plan: Plan, run: Path, cells_file: Path, fold: Split, seed: int, tasks: tuple[PredictionSet, ...]) -> Job:
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
        extra=baseline.extra,
    )


def _models(request: Question, suite: Suite) -> list[str]:
    """Names to run: those asked for and the brackets, in the registry's or the request's order, each once."""
    names = [*BRACKETS, *(request.models or suite.models)]
    return list(dict.fromkeys(names))


def _directions(request: Question, suite: Suite, protocol: str) -> tuple[Direction, ...]:
    for name in request.directions:
        if name not in DIRECTIONS:
            raise UnknownName("direction", name, DIRECTIONS)
    wanted, able = request.directions or suite.directions, find_protocol(protocol).directions
    if not set(wanted) & set(able):
        raise BenchmarkError(f"Protocol '{protocol}' is asked in direction {', '.join(able)}, not {', '.join(wanted)}.")
    return tuple(d for d in able if d in wanted)


def _check_settings(request: Question, baselines: Mapping[str, Baseline]) -> None:
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
