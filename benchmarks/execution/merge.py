"""Several runs of one question become one: their sets of predictions lie side by side and are scored as `collect` scores.

Of a run's folder only the manifest and the sets of predictions are taken: values of metrics, mean profiles and, where they
are kept, predicted cells. What is computed from the data (splits, summaries of the truth, references) is computed again here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from benchmarks.data.store.atomic_files import refusals, write_json
from benchmarks.errors import StoreError
from benchmarks.execution.board import Board, widened
from benchmarks.execution.code_version import difference
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.ledger import ledger
from benchmarks.execution.load_run import reopen
from benchmarks.execution.made_again import AGREE
from benchmarks.execution.manifest import read_manifest
from benchmarks.execution.prediction_store import Outcome, PredictionSet, get_outcome
from benchmarks.execution.runner import Going, Result, alone
from benchmarks.execution.score_store import get_scores, open_means
from benchmarks.scoring.scored_set import code_hash
from benchmarks.tasks.question import Question

ABOUT = "merged.json"
"""File of a merged run that says which runs it is of, and with which versions they were made."""


def merge(
    runs: Sequence[Path],
    folder: Path,
    watch: Watcher = ignore,
    *,
    threads: int = 1,
    figures: bool = True,
    data_dir: Path | None = None,
) -> Result:
    """Make one run of several of the same question, with other models, seeds, folds or directions; nothing is trained.

    The tables are those of one run that did all of it. What no run has is `not_run`, and `--resume` may add it.

    Parameters
    ----------
    runs
        Folders of runs, also of planned ones whose units are done in part.
    folder
        New folder of the merged run.
    threads
        Threads of scoring.
    data_dir
        Folder with local copies of data files, where it is another than the first run had.

    Raises
    ------
    StoreError
        Runs of different questions, data, splits or settings, or scored by different code than is here; a set of predictions
        that two runs have with different results; one that is damaged; a folder that is not empty.
    BenchmarkError
        The data are not at hand.
    """
    if folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        raise StoreError(f"{folder} is not empty; name a new folder with --out.")
    manifests = {run: _read(run) for run in dict.fromkeys(path.resolve() for path in runs)}
    for (first, one), (other, two) in product(list(manifests.items())[:1], list(manifests.items())[1:]):
        if why := _differs(one, two):
            raise StoreError(f"{first} and {other} do not answer the same question: {why}.")
    _check_settings(manifests)
    board = _joined(list(manifests), data_dir)
    chosen = _choose(board, list(manifests))
    execution = Execution(threads=threads, figures=figures, data_dir=data_dir)
    with alone(folder), ledger(folder, shared=True):
        with refusals(folder, "Free space, or name another folder with --out."):
            for entry, run in chosen.items():
                shutil.copytree(entry.folder(run), entry.folder(folder))
        write_json(folder / ABOUT, [_about(run, manifest) for run, manifest in manifests.items()])
        going = Going.begin(board.plan, folder, execution, watch, board)
        going.introduce()
        return going.finish("complete" if board.is_complete(folder) else "stopped", [], [])


def tell_versions(runs: Sequence[Path]) -> str:
    """Name the packages whose versions differ between runs, such as "numpy (2.1.0, here 2.2.0)"; "" where none does."""
    versions = [read_manifest(run).get("versions", {}) for run in runs]
    return "; ".join(dict.fromkeys(filter(None, (difference(one, two) for one, two in pairwise(versions)))))


def _read(run: Path) -> dict[str, Any]:
    found = read_manifest(run)
    if not found.get("key") or not found.get("models"):
        raise StoreError(f"{run} has no manifest.json of this version; give folders of runs.")
    return found


def _about(run: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": run.name, **{name: manifest.get(name) for name in ("state", "git", "machine", "versions")}}


def _differs(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """Say how the questions of two manifests differ; "" where they are the same."""
    try:
        asked = [TypeAdapter(Question).validate_python(manifest["question"]).fixed() for manifest in (one, two)]
    except (KeyError, ValidationError) as error:
        return f"a manifest cannot be read ({type(error).__name__})"
    pairs = {name: (asked[0][name], asked[1][name]) for name in asked[0]}
    data = ("sha256", "cells", "genes", "genes_annotated")
    pairs |= {f"data: {name}": tuple(m.get("dataset", {}).get(name) for m in (one, two)) for name in data}
    splits = one.get("splits", {}), two.get("splits", {})
    pairs |= {f"split {name}": (splits[0][name], splits[1][name]) for name in splits[0].keys() & splits[1].keys()}
    found = [f"{name} is {_brief(a)} and {_brief(b)}" for name, (a, b) in sorted(pairs.items()) if a != b]
    if not found and one["key"] != two["key"]:
        return "data or gene annotation (the keys in manifest.json)"
    return "; ".join(found)


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"


def _check_settings(manifests: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise `StoreError` for a model that two runs have with other settings."""
    known: dict[str, tuple[Path, object]] = {}
    for run, manifest in manifests.items():
        for model, entry in manifest["models"].items():
            first, settings = known.setdefault(model, (run, entry.get("settings")))
            if settings != entry.get("settings"):
                raise StoreError(
                    f"{model} has settings {settings} in {first} and {entry.get('settings')} in {run}; run one of them again "
                    "with the settings of the other (--set)."
                )


def _joined(runs: Sequence[Path], data_dir: Path | None) -> Board:
    """Join what was asked of all runs; plugins that they name are not imported."""
    plan = reopen(runs[0], data_dir).plan
    question = TypeAdapter(Question).validate_python(read_manifest(runs[0])["question"])
    board = Board(plan, {}, question)
    for run in runs:
        board = widened(board, run, data_dir)
    return board


def _choose(board: Board, runs: Sequence[Path]) -> dict[PredictionSet, Path]:
    """Choose the run that each set is taken from: the first that has it and could try the model."""
    chosen: dict[PredictionSet, Path] = {}
    for run, entry in product(runs, _sets(board)):
        outcome = get_outcome(entry.folder(run))
        if outcome is None:
            continue
        _check(entry.folder(run), outcome)
        before = chosen.setdefault(entry, run)
        known = get_outcome(entry.folder(before))
        if known is None or before == run:
            continue
        if known.key and outcome.key:
            _check_same((entry.folder(before), known), (entry.folder(run), outcome))
        elif outcome.key:  # the model could not be tried in the run before
            chosen[entry] = run
    return chosen


def _sets(board: Board) -> Iterator[PredictionSet]:
    for (name, model), split in product(board.models.items(), board.plan.splits):
        for direction, seed in product(board.plan.directions, range(model.seeds)):
            yield PredictionSet(name, direction, board.plan.protocol, split.fold, seed)


def _check(folder: Path, outcome: Outcome) -> None:
    """Raise `StoreError` unless the scores of a set are what was written, by the code that scores here."""
    if any(ending.status == "ok" for ending in outcome.endings):
        if outcome.code != code_hash():
            raise StoreError(
                f"{folder} was scored by another version of the metrics ({outcome.code[:12]}) than is here "
                f"({code_hash()[:12]}); run it again with --resume and this version, or merge with the version of the runs."
            )
        get_scores(folder, outcome)


def _check_same(one: tuple[Path, Outcome], two: tuple[Path, Outcome]) -> None:
    """Raise `StoreError` where two outcomes of the same set differ, by more than linear algebra does."""
    (first, a), (other, b) = one, two
    if why := _conflict(first, a, other, b):
        raise StoreError(f"{first} and {other} hold different results: {why}. Leave one of the runs out.")


def _conflict(first: Path, a: Outcome, other: Path, b: Outcome) -> str:
    """Say how two outcomes of the same set differ; "" where they agree."""
    if a.key != b.key:
        return "they were trained with other settings, seeds or packages (the keys of their outcomes)"
    if a.leaks != b.leaks:
        return f"the audit found '{a.audit}' and '{b.audit}'"
    for one, two in zip(a.endings, b.endings, strict=True):
        if replace(one, reason="") != replace(two, reason=""):
            return f"{one.context}/{one.perturbation} is {one.status} ({one.reason}) and {two.status} ({two.reason})"
    if all(ending.status != "ok" for ending in a.endings):
        return ""
    return _values_conflict(first, a, other, b) or _means_conflict(first, a, other, b)


def _values_conflict(first: Path, a: Outcome, other: Path, b: Outcome) -> str:
    one, two = get_scores(first, a), get_scores(other, b)
    for name, scores in one.items():
        again = two[name]
        apart = (scores.status != again.status) | ~np.isclose(scores.values, again.values, AGREE, AGREE, equal_nan=True)
        for place in np.flatnonzero(apart)[:1]:
            where = f"{name} of {a.endings[place].context}/{a.endings[place].perturbation}"
            return f"{where} is {scores.values[place]:.10g} and {again.values[place]:.10g}"
    return ""


def _means_conflict(first: Path, a: Outcome, other: Path, b: Outcome) -> str:
    if a.means == b.means:
        return ""
    with open_means(first) as one, open_means(other) as two:
        for place, ending in enumerate(a.endings):
            if not np.allclose(one[place], two[place], AGREE, AGREE):
                return f"the mean profiles of {ending.context}/{ending.perturbation} differ"
    return ""
