"""Whether a results folder says what its files say: digests, and everything that can be computed again from what is there.

From `scores.csv` alone come all tables of statistics and the page. From the values and mean profiles that are kept of every set
of predictions come, where the data are at hand, all rows of `scores.csv`, those of references among them; and the values of
metrics that look at mean profiles alone are computed again from these.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd

import reports
from benchmarks.data.store.folder_digests import MADE_AGAIN, SUMS, check_sums
from benchmarks.errors import BenchmarkError, StoreError
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.fold_scoring import FoldScoring
from benchmarks.execution.load_run import FinishedRun, reopen
from benchmarks.execution.made_again import AGREE, page_differs, table_differs
from benchmarks.execution.manifest import read_manifest
from benchmarks.execution.merge import merge
from benchmarks.execution.prediction_store import Outcome, PredictionSet, get_outcome
from benchmarks.execution.score_store import check_means, open_means, read_scores
from benchmarks.scoring.evaluate import evaluate
from benchmarks.scoring.scored_set import SINGLE, code_hash
from benchmarks.scoring.summaries import PredictionSummary
from reports.tables import ReportError, load

Verdict = Literal["right", "wrong", "not checked"]
INPUTS = ("scores", "metrics", "costs", "planted", "models")
"""Tables that the statistics and the page are made from."""
SCORED = ("scores", "planted", "conditions", "costs", "metrics", "models")
"""Tables that are made from predictions and data."""
KEYS = ["context", "perturbation", "dose", "metric"]
MOST = 3
"""Names that one finding lists."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    detail: str


def verify(
    folder: Path,
    watch: Watcher = ignore,
    *,
    data_dir: Path | None = None,
    threads: int = 1,
    n_boot: int = 2000,
    seed: int = 0,
) -> Iterator[Finding]:
    """Check a folder of a run, of `score` or of `import`; nothing in it is changed, and no code of its plugins is run.

    Parameters
    ----------
    data_dir
        Folder with local copies of data files.
    threads
        Threads of digests and of scoring.
    n_boot, seed
        Draws and seed of the bootstrap, as they were given to `report`.

    Yields
    ------
    What was right, what was wrong, and what could not be checked and why.

    Raises
    ------
    StoreError
        The folder holds no results.
    """
    manifest = read_manifest(folder)
    if not manifest or not (folder / "scores.csv").is_file():
        raise StoreError(f"{folder} has no manifest.json and scores.csv; give a folder of results.")
    yield from _check_files(folder, manifest, threads)
    yield from _check_reports(folder, n_boot, seed)
    if not manifest.get("key"):
        yield Finding("scores", "not checked", "no predictions are kept: the folder is of `score` or of `import`")
        return
    yield from _check_values(folder, manifest)
    yield from _check_with_data(folder, watch, data_dir, threads)


def _check_files(folder: Path, manifest: Mapping[str, Any], threads: int) -> Iterator[Finding]:
    if manifest.get("state", "complete") != "complete":
        yield Finding("run", "not checked", f"its state is {manifest['state']}, so something of it has not run")
    try:
        found = check_sums(folder, threads)
    except StoreError as error:
        yield Finding("files", "not checked", str(error))
        return
    wrong = {"changed": found.changed, "missing": found.missing}
    for how, names in wrong.items():
        if names:
            yield Finding("files", "wrong", f"{len(names)} {how} since {SUMS} was written: {_some(names)}")
    if found.same and not any(wrong.values()):
        yield Finding("files", "right", f"{len(found.same)} files are as {SUMS} has them")
    if found.unlisted:
        names = found.unlisted
        yield Finding("files", "not checked", f"{len(names)} files are not in {SUMS}: {_some(names)}")
    if left := [name for name in MADE_AGAIN if (folder / name).is_dir()]:
        yield Finding(
            "files", "not checked", f"{', '.join(left)}: made again where they are missing, so they have no digest"
        )


def _check_reports(folder: Path, n_boot: int, seed: int) -> Iterator[Finding]:
    """Make all tables of statistics and the page again from the tables of scores."""
    with TemporaryDirectory() as name:
        again = Path(name)
        for path in (*(folder / f"{table}.csv" for table in INPUTS), folder / "notes.json"):
            if path.is_file():
                shutil.copy(path, again)
        try:
            load(again)
            written = reports.write_reports(again, n_boot=n_boot, seed=seed, figures=False)
        except ReportError as error:
            yield Finding("tables", "wrong", str(error))
            return
        for path in written:
            if path.suffix == ".html":
                continue
            compare = page_differs if path.suffix == ".md" else table_differs
            why = compare(folder / path.name, path)
            yield Finding(path.name, "wrong" if why else "right", why or "follows from scores.csv")
    for name, what in (("figures", "draws them"), ("report.html", "makes it")):
        if (folder / name).exists():
            yield Finding(name, "not checked", f"beyond the digest; `report` {what} again")


def _check_values(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare scores.csv with the values that were kept when predictions were scored; the data are not needed."""
    try:
        scores = load(folder).scores
    except ReportError:
        return  # which the tables have said
    scores = scores[(scores["kind"] == "model") & scores["metric"].isin([metric.name for metric in SINGLE])]
    groups = dict(list(scores.groupby(["model", "direction", "fold", "seed"], observed=True)))
    wrong, n_values = [], 0
    for entry in _sets(manifest):
        outcome = get_outcome(entry.folder(folder))
        rows = groups.get((entry.model, entry.direction, entry.fold, entry.seed))
        if outcome is None or rows is None or all(ending.status != "ok" for ending in outcome.endings):
            continue
        try:
            kept = _kept_rows(entry.folder(folder), outcome)
        except StoreError as error:
            wrong.append(str(error))
            continue
        known = (
            rows.assign(dose=rows["dose"].fillna(-1.0)).astype(dict.fromkeys(KEYS[:2], str)).set_index(KEYS)["value"]
        )
        both = pd.DataFrame({"kept": kept, "known": known})
        both = both[both["kept"].notna() | both["known"].notna()]
        if (
            outcome.leaks
            or rows["audit"].astype(str).str.startswith("leak:").all()
            or rows["status"].eq("not_run").all()
        ):
            both = both[both["known"].notna()]  # after a leak, or with other settings, no value counts
        apart = both[both["kept"].map("{:.10g}".format) != both["known"].map("{:.10g}".format)]
        n_values += len(both) - len(apart)
        for key, row in apart.iloc[:1].iterrows():
            where = f"{entry.model}, {entry.direction}, fold {entry.fold}, seed {entry.seed}, {_name(key)}"
            wrong.append(f"{where}: {row['known']:.10g} in scores.csv, {row['kept']:.10g} in predictions/")
    if wrong:
        yield Finding("scores.csv", "wrong", f"{len(wrong)} sets of predictions: {'; '.join(wrong[:MOST])}")
    elif n_values:
        yield Finding("scores.csv", "right", f"{n_values:,} values are those kept with the predictions")
    else:
        yield Finding("scores.csv", "not checked", "no values are kept in predictions/")


def _kept_rows(folder: Path, outcome: Outcome) -> pd.Series:
    """Values of metrics by `KEYS`, NaN where a condition has no such score; dose −1 where there is none."""
    values = read_scores(folder, outcome)
    ok = np.array([ending.status == "ok" for ending in outcome.endings])
    labels = [
        (e.context, e.perturbation, -1.0 if e.dose is None or np.isnan(e.dose) else e.dose) for e in outcome.endings
    ]
    found = {
        (*label, name): value if status == "ok" and answered else np.nan
        for name, scores in values.items()
        for label, value, status, answered in zip(labels, scores.values, scores.status, ok, strict=True)
    }
    return pd.Series(found, index=pd.MultiIndex.from_tuples(found, names=KEYS))


def _check_with_data(folder: Path, watch: Watcher, data_dir: Path | None, threads: int) -> Iterator[Finding]:
    """Score the kept values and mean profiles again, with the data of the question."""
    try:
        finished = reopen(folder, data_dir)
    except BenchmarkError as error:
        yield Finding("scores from the data", "not checked", str(error))
        return
    outcomes = {entry: get_outcome(entry.folder(folder)) for entry in _sets(read_manifest(folder))}
    if other := {o.code for o in outcomes.values() if o and o.code} - {code_hash()}:
        why = (
            f"scored by another version of the metrics ({', '.join(code[:12] for code in sorted(other))}) than is here"
        )
        yield Finding("scores from the data", "not checked", why)
        return
    with TemporaryDirectory() as name:
        again = Path(name) / "run"
        try:
            merge([folder], again, watch, threads=threads, figures=False, data_dir=data_dir)
        except BenchmarkError as error:
            yield Finding("scores from the data", "wrong", str(error))
            return
        for table in SCORED:
            why = table_differs(folder / f"{table}.csv", again / f"{table}.csv")
            yield Finding(f"{table}.csv", "wrong" if why else "right", why or "scored again from the data")
        yield from _check_means(finished, FoldScoring(finished.plan, again, threads), outcomes)
    yield Finding(
        "predicted cells",
        "not checked",
        "metrics of single cells were scored when they were made; `run` in another folder makes them",
    )


def _check_means(
    finished: FinishedRun, scoring: FoldScoring, outcomes: Mapping[PredictionSet, Outcome | None]
) -> Iterator[Finding]:
    """Compute metrics of mean profiles again from the profiles that are kept, and compare them with the values."""
    wrong, n_values, metrics = [], 0, set[str]()
    for split, direction in product(finished.plan.splits, finished.plan.directions):
        own = {e: o for e, o in outcomes.items() if (e.fold, e.direction) == (split.fold, direction) and o and o.values}
        for block in scoring.of(split, direction).blocks() if own else ():
            for entry, outcome in own.items():
                assert outcome is not None
                place = entry.folder(finished.folder)
                try:
                    check_means(place, outcome)
                    kept = read_scores(place, outcome)
                except StoreError as error:
                    wrong.append(str(error))
                    continue
                with open_means(place) as means:
                    profiles = np.stack([means[number] for number in block.numbers])
                found = evaluate(block.fold, block.truth, PredictionSummary.of_means(profiles), metrics=SINGLE)
                answered = np.array([outcome.endings[number].status == "ok" for number in block.numbers])
                for metric, scores in found.items():
                    values = kept[metric].values[block.numbers.start : block.numbers.stop]
                    compared = answered & (scores.status == "ok")
                    near = np.isclose(values, scores.values, AGREE, AGREE)
                    n_values += int((compared & near).sum())
                    metrics |= {metric} if compared.any() else set()
                    for bad in np.flatnonzero(compared & ~near)[:1]:
                        ending = outcome.endings[block.numbers[bad]]
                        where = f"{entry.model}, {direction}, fold {entry.fold}, seed {entry.seed}"
                        pair = f"{values[bad]:.10g} was kept, {scores.values[bad]:.10g} computed"
                        wrong.append(f"{metric} of {ending.context}/{ending.perturbation} ({where}): {pair}")
    if wrong:
        yield Finding("mean profiles", "wrong", f"{len(wrong)} differences: {'; '.join(wrong[:MOST])}")
    else:
        what = (
            f"{n_values:,} values of {len(metrics)} metrics that look at mean profiles alone, computed again from these"
        )
        yield Finding("mean profiles", "right" if n_values else "not checked", what)


def _sets(manifest: Mapping[str, Any]) -> Iterator[PredictionSet]:
    """Sets of predictions that a manifest asks for."""
    protocol, folds = manifest["protocol"], range(len(manifest["splits"]))
    for (model, entry), direction, fold in product(manifest["models"].items(), manifest["directions"], folds):
        for seed in range(entry["seeds"]):
            yield PredictionSet(model, direction, protocol, fold, seed)


def _name(key: Any) -> str:
    context, perturbation, dose, metric = key
    return f"{metric} of {context}/{perturbation}" + ("" if dose < 0 else f" {dose:g} nM")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")
