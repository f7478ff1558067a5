"""Training and scoring of models, from a program or a notebook."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anndata import AnnData

from benchmarks.api.arguments import errors_in_python, several
from benchmarks.api.result import Result, load_run
from benchmarks.contract import DIRECTIONS, Baseline, Predictor
from benchmarks.data.own_file import OwnFile
from benchmarks.errors import BenchmarkError, choice
from benchmarks.execution import runner
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.machine import usable_cores
from benchmarks.execution.memory import parse_memory
from benchmarks.execution.plan import make_plan
from benchmarks.scoring.external.score_files import SOURCES
from benchmarks.tasks.batch_correction.batches import METHODS
from benchmarks.tasks.protocol import INPUT_CELLS
from benchmarks.tasks.question import CONTROL_RULES, DATA_SOURCES, PRESETS, SPACES, Question
from benchmarks.tasks.session import Session

FILES = (".h5ad", ".h5")
"""How the name of a file ends, by which it is told from a suite."""
Model = str | Baseline | Predictor | type


def run(
    suite: str | Path | AnnData,
    models: Sequence[Model] | Model | None = None,
    *,
    perturbation_key: str = "perturbation",
    context_key: str = "",
    batch_key: str = "",
    dose_key: str = "",
    dose_unit: str = "nM",
    control: str | Sequence[str] = (),
    separator: str = "+",
    values: str = "auto",
    kind: str = "CRISPR",
    gene_key: str = "",
    layer: str = "X",
    source: str = "real",
    name: str = "screen",
    protocol: str | None = None,
    direction: str | Sequence[str] = (),
    perturbations: str | Sequence[str] = (),
    contexts: str | Sequence[str] = (),
    control_rule: str = "nontargeting",
    data: str = "auto",
    data_dir: str | Path | None = None,
    annotation: str | Path | None = None,
    space: str = "cp10k",
    integration: str = "none",
    reference: str | None = None,
    measured_only: bool = False,
    seeds: int = 1,
    folds: int | None = None,
    input_cells: int = INPUT_CELLS,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    preset: str = "quick",
    plugins: Sequence[str | Path] = (),
    seed: int = 0,
    executor: str = "inline",
    jobs: int = 1,
    threads: int | None = None,
    timeout: float | None = None,
    memory: str | None = None,
    device: str = "cpu",
    prove: bool = False,
    keep_predictions: bool = False,
    folder: str | Path | None = None,
    resume: bool = False,
    figures: bool = True,
    watch: Watcher = ignore,
) -> Result:
    """Train and score models on shared, leak-free splits, as `cycseq-bench run` does.

    Everything is done in a temporary folder, which is removed, unless `folder` is given. Cells that are given as an AnnData are not
    changed.

    Parameters
    ----------
    suite
        Name of a suite (`benchmarks.suites` lists them), cells of your own [cell, gene], or the path of an h5ad file.
    models
        Names of models (`benchmarks.models` lists them), and models of your own: a `Baseline` record, an instance with
        methods `fit` and `predict`, of which a copy is trained in each fold, or its class. None: the suite's models. The simplest
        baselines are in every run.
    perturbation_key, context_key, batch_key, dose_key, dose_unit, control, separator, gene_key, layer
        Where the labels of your own cells are, as for `evaluate`.
    values
        What the matrix of your own cells holds: "counts", "ln", "log2" or "zscore"; "auto" finds it from the values.
    kind
        What was done to your own cells: "CRISPR" (an annotation of human genes is fetched into the cache, once), "drug" or
        "cytokine".
    source
        Whether your own cells are "real" or "simulated"; simulated ones are named so wherever their scores are shown.
    name
        What an AnnData is called as a data set.
    protocol
        How conditions are held out; None: the suite's, or the first that your own cells allow.
    direction
        "n2p" (control to perturbed), "p2n", or both; empty: the suite's.
    perturbations, contexts
        Names of those that are tested; empty: all, or the suite's.
    control_rule, data, data_dir, annotation, space, integration, reference, measured_only
        As the options of `cycseq-bench run`: which controls, real or simulated cells, local copies of files, gene annotation, what
        counts become, batch correction and its reference, and whether perturbed genes must be measured.
    seeds, folds, input_cells
        Number of trainings of each model in each fold, number of folds (None: the preset's), and most cells that a prediction
        starts from.
    settings
        Model → its settings, such as ``{"linear": {"ridge": 1.0}}``.
    preset
        "quick" (minutes) or "paper" (the authors' training, all folds).
    plugins
        Files of models of your own.
    seed
        Base seed of every random choice.
    executor
        "inline" trains in this process, where a breakpoint in `fit` works; "process" in a child for each training. Models that
        are given as objects need "inline".
    jobs, threads, timeout, memory, device
        Trainings at a time, threads of each (None: the cores that are free for it), seconds after which one is ended (not
        inline), memory of all, such as "4G", and Torch device.
    prove
        Whether every training is repeated with noise in place of all hidden cells.
    keep_predictions
        Whether predicted cells are kept in `folder`.
    folder
        Folder that the run is written to, a new one; None: nothing is kept but the result.
    resume
        Whether `folder` may hold a run of the same data and settings, which is gone on with.
    figures
        Whether figures are drawn in `folder`.
    watch
        Called with every event of the run (`benchmarks.execution.events`): ``watch=print`` shows how far it is.

    Returns
    -------
    Result
        `scores`, `leaderboard`, comparisons and plots. A model that fails, or does not take a condition, has rows with the
        reason.

    Raises
    ------
    UnknownName
        A suite, model, protocol, perturbation or setting that does not exist; the message names the nearest.
    DataError, DownloadError
        Cells that cannot be used, or are not here.
    PluginError
        A model with the name of another.
    StoreError
        A folder that is not empty, or that cannot be written.
    BenchmarkError
        Any of these; a parameter with a value that it does not take.

    See Also
    --------
    evaluate : Score predictions that are there already.

    Examples
    --------
    A model of one's own beside two others, on a small made-up screen:

    >>> import benchmarks as cb
    >>> class Doubled:
    ...     '''Doubles what it gets.'''
    ...     def fit(self, train, *, seed):
    ...         pass
    ...     def predict(self, query):
    ...         return cb.Prediction(query.cells.X * 2, unit="cell")
    >>> options = {"kind": "cytokine", "source": "simulated", "direction": "n2p", "threads": 1}
    >>> result = cb.run(cb.toy_screen(), ["linear", Doubled()], context_key="context", **options)
    >>> set(result.scores["model"]) >= {"linear", "doubled", "no_change", "train_mean"}
    True
    """
    with errors_in_python(), TemporaryDirectory(prefix="cycseq-run-") as temporary:
        names, records = _asked(models)
        own = None
        if isinstance(suite, AnnData | Path) or Path(suite).suffix in FILES:
            own = OwnFile(
                path=Path(f"{name}.h5ad") if isinstance(suite, AnnData) else Path(suite).resolve(),
                perturbation=perturbation_key,
                context=context_key,
                batch=batch_key,
                dose=dose_key,
                dose_unit=dose_unit,
                control=several(control),
                separator=separator,
                values=values,
                kind=kind,
                source=choice("--source", source, SOURCES),
                gene_key=gene_key,
                layer=layer,
            )
        question = Question(
            suite=own.name if own else str(suite),
            models=names,
            protocol=protocol,
            directions=tuple(choice("--direction", way, DIRECTIONS) for way in several(direction)),
            perturbations=several(perturbations),
            contexts=several(contexts),
            control_rule=choice("--control-rule", control_rule, CONTROL_RULES),
            data=choice("--data", data, DATA_SOURCES),
            own=own,
            annotation=Path(annotation).resolve() if annotation else None,
            space=choice("--space", space, SPACES),
            integration=choice("--integration", integration, METHODS),
            reference=reference,
            measured_only=measured_only,
            seeds=seeds,
            folds=folds,
            settings=settings or {},
            preset=choice("--preset", preset, PRESETS),
            plugins=tuple(Path(path).resolve() for path in plugins),
            base_seed=seed,
            input_cells=input_cells,
        )
        execution = Execution(
            executor=executor,
            jobs=jobs,
            threads=threads or max(1, usable_cores() // jobs),
            device=device,
            timeout=timeout,
            prove=prove,
            keep_predictions=keep_predictions,
            memory=parse_memory(memory),
            figures=figures and folder is not None,
            data_dir=Path(data_dir).resolve() if data_dir else None,
        )
        place = _folder(folder, resume, records) or Path(temporary) / "results" / question.suite / "run"
        session = Session(records)
        if isinstance(suite, AnnData):
            session = Session(records, suite, Path(temporary) / "cells")
        runner.run(make_plan(question, execution.data_dir, session), place, execution, watch)
        return load_run(place)


def _asked(models: Sequence[Model] | Model | None) -> tuple[tuple[str, ...], tuple[Baseline, ...]]:
    """Name the models that are asked for, and make the records of those that are given as objects."""
    if models is None:
        return (), ()
    listed: list[Any] = list(models) if isinstance(models, list | tuple) else [models]
    if not listed:  # such as an unset variable; it does not mean all
        raise BenchmarkError("--models is empty; name models, or leave it out for the suite's own list.")
    found = [model if isinstance(model, str) else _record(model) for model in listed]
    names = tuple(model if isinstance(model, str) else model.name for model in found)
    return names, tuple(model for model in found if isinstance(model, Baseline))


def _record(model: Model) -> Baseline:
    """Make the record of a model that is given as an object; raises `BenchmarkError` for what is none."""
    if isinstance(model, Baseline):
        return model
    kind = model if isinstance(model, type) else type(model)
    if not all(callable(getattr(kind, method, None)) for method in ("fit", "predict")):
        raise BenchmarkError(
            f"A model is a {kind.__name__}; expected a name, a Baseline record, or an object (or its class) with methods fit and "
            "predict, as in baselines/_template.py."
        )
    build: Callable[..., Any] = kind if isinstance(model, type) else partial(deepcopy, model)
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    summary = (inspect.getdoc(kind) or name).split("\n")[0]
    return Baseline(name=name, build=build, directions=DIRECTIONS, summary=summary, source="given as an object")


def _folder(folder: str | Path | None, resume: bool, records: Sequence[Baseline]) -> Path | None:
    """Check the folder that a run is written to; raises `BenchmarkError` for one that it may not go on in."""
    if folder is None:
        if resume:
            raise BenchmarkError("--resume needs the folder of the run to go on with; name it with --out.")
        return None
    place = Path(folder).resolve()
    if not place.is_dir() or not any(place.iterdir()):
        return place
    if not resume:
        raise BenchmarkError(
            f"{place} is not empty; name a new folder with --out, or go on with the run in it with --resume."
        )
    if records:
        raise BenchmarkError(
            f"{', '.join(record.name for record in records)}: --resume cannot see whether a model that is given as an object has "
            "changed. Write it into a file and name it with --plugin, or run it in a new folder."
        )
    return place
