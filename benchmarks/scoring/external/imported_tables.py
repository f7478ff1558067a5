"""Others' tables of results become a results folder of ours: the same statistics, page and figures, but no new score.

An importer is a file of `importers/`: it knows the columns of one program's tables, and which of its metrics are better high or
low. What it does not know has to be said by whoever imports, since a rank in the wrong direction is worse than none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data.download import sha256_of
from benchmarks.errors import DataError, UnknownName
from benchmarks.scoring.external.score_files import Scored
from benchmarks.scoring.references import REFERENCES
from reports.tables import GROUP, METRIC_COLUMNS, SCORE_COLUMNS, ReportError, check_metrics, check_scores

FOLDER = Path(__file__).parent / "importers"
ROW = ("dataset", "model", "seed", "context", "perturbation", "metric")
"""Columns that name a value."""


@dataclass(frozen=True)
class ResultFile:
    """A table of results, and what its file name or the user says of it."""

    path: Path
    model: str = ""
    """Model that all rows are of; "": the file says, or its name does."""
    context: str = ""
    """Context that all rows are of; "": the file says."""


@dataclass(frozen=True)
class MetricFacts:
    """What is known of another program's metric."""

    higher_is_better: bool | None
    """None: it describes, and ranks no model."""
    summary: str
    family: str = "metrics"
    """As in `benchmarks.scoring.metrics.metric.Family`, where it is one of these."""
    best: float | None = None


@dataclass(frozen=True)
class Importer:
    """How the tables of one program are read; a module of `importers/` holds one as `IMPORTER`."""

    name: str
    source: str
    """Address of the program."""
    read: Callable[[Sequence[ResultFile]], pd.DataFrame]
    """Reads all files: one row a value, columns `ROW` and "value" (NaN where the table has none), and "n_truth_cells" where it is
    known. Raises `DataError`."""
    facts: Callable[[str], MetricFacts | None]
    """Facts of a metric by name, None for one that is not known; the order of metrics is that of the tables."""


@dataclass(frozen=True)
class Import:
    """What is imported, and what the user says of it."""

    importer: Importer
    files: tuple[ResultFile, ...]
    source: str = "real"
    """"real" or "simulated" cells."""
    higher: Collection[str] = ()
    """Metrics of which more is better, whatever the importer knows."""
    lower: Collection[str] = ()
    not_ranked: Collection[str] = ()
    rename: Mapping[str, str] | None = None
    """Model in the tables → its name here, such as "no_change" or "train_mean" for models that are the same as these."""


def importer_names() -> tuple[str, ...]:
    """Names of all importers, as they are given on the command line."""
    return tuple(sorted(path.stem.replace("_", "-") for path in FOLDER.glob("[!_]*.py")))


def find_importer(name: str) -> Importer:
    """Import an importer by name; raises `UnknownName`."""
    if name not in importer_names():
        raise UnknownName("form of tables", name, importer_names())
    found: Importer = importlib.import_module(f"{__package__}.importers.{name.replace('-', '_')}").IMPORTER
    return found


def import_tables(asked: Import) -> Scored:
    """Read tables of results; `score_files.write` writes them to a folder.

    Raises
    ------
    DataError
        A table of another form, a value given twice, or a metric of which nobody has said whether more is better.
    """
    rows = asked.importer.read(asked.files)
    rows = rows.assign(model=rows["model"].replace(dict(asked.rename or {})))
    for column in ("model", "perturbation", "metric"):
        if (rows[column].astype(str).str.strip() == "").any():
            raise DataError(f"A row has no {column}; complete the table, or leave the row out.")
    metrics = _metrics(asked, list(dict.fromkeys(rows["metric"])))
    rows, notes = _with_status(rows)
    label = {"suite": asked.importer.name, "source": asked.source, "protocol": "external", "direction": "n2p"}
    fixed = label | {"fold": 0, "dose": np.nan, "budget": "unknown", "audit": "not audited"}
    kinds = np.where(rows["model"].isin(REFERENCES), "reference", "model")
    scores = rows.assign(**fixed, kind=kinds)[list(SCORE_COLUMNS)]
    try:
        check_scores(scores, check_metrics(metrics))
    except ReportError as error:
        raise DataError(f"{error} (in the rows of {', '.join(file.path.name for file in asked.files)})") from error
    conditions = scores[[*GROUP, "fold", "context", "perturbation", "dose", "n_truth_cells"]].drop_duplicates()
    conditions = conditions.assign(n_significant_genes=np.nan)  # which no such table has
    return Scored(
        scores=scores,
        planted=None,
        conditions=conditions,
        controls=None,
        notes=(
            f"Imported from tables of {asked.importer.name}; these models were neither trained nor scored here.",
            *notes,
        ),
        manifest={
            "imported": asked.importer.name,
            "files": [{"path": str(file.path), "sha256": sha256_of(file.path)} for file in asked.files],
            "source": asked.source,
            "rename": dict(asked.rename or {}),
            "version": version("cycseq-bench"),
        },
        metrics=metrics,
    )


def read_rows(path: Path, needed: Collection[str], separator: str = ",") -> pd.DataFrame:
    """Read a table as text, "" where a field is empty; raises `DataError` for one that is no such table."""
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a table ({error}).") from error
    if missing := [column for column in needed if column not in table]:
        raise DataError(f"{path} lacks column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")
    if table.empty:
        raise DataError(f"{path} has no row.")
    return table


def read_numbers(column: pd.Series, path: Path) -> pd.Series:
    """Turn text into numbers, NaN for "", "nan" and "null"; raises `DataError` for anything else."""
    text = column.str.strip()
    empty = text.str.casefold().isin(["", "nan", "null", "none"])
    numbers = pd.to_numeric(text.mask(empty), errors="coerce").astype(float)
    for bad in text[numbers.isna() & ~empty][:1]:
        raise DataError(f"{path}: column '{column.name}' holds '{bad}'; expected numbers or empty fields.")
    for bad in text[np.isinf(numbers)][:1]:
        raise DataError(f"{path}: column '{column.name}' holds '{bad}', which cannot be averaged; leave the row out.")
    return numbers


def _metrics(asked: Import, names: Sequence[str]) -> pd.DataFrame:
    """Describe the metrics, as metrics.csv."""
    for name in (*asked.higher, *asked.lower, *asked.not_ranked):
        if name not in names:
            raise UnknownName("metric of these tables", name, names)
    rows, unknown = [], []
    for name in names:
        facts = asked.importer.facts(name)
        given = [name in chosen for chosen in (asked.higher, asked.lower, asked.not_ranked)]
        if sum(given) > 1:
            raise DataError(
                f"{name} is given to more than one of --higher-is-better, --lower-is-better and --not-ranked."
            )
        if facts is None and not any(given):
            unknown.append(name)
            continue
        better = (True, False, None)[given.index(True)] if any(given) else facts.higher_is_better if facts else None
        known = facts or MetricFacts(better, f"{name}, as {asked.importer.name} has it")
        best = known.best if better == known.higher_is_better else None
        summary, source = known.summary, asked.importer.source
        rows.append((name, known.family, best, better is not False, better is not None, "", summary, source))
    if unknown:
        raise DataError(
            f"It is not known whether more is better of {', '.join(unknown)}; say so with --higher-is-better, "
            f"--lower-is-better or --not-ranked, such as --lower-is-better {unknown[0]}."
        )
    return pd.DataFrame(rows, columns=list(METRIC_COLUMNS)).astype({"best": float})


def _with_status(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Give each value a status; a condition for which no model has a value of a metric is left out of it, and counted."""
    if "n_truth_cells" not in rows:
        rows = rows.assign(n_truth_cells=np.nan)
    valued = rows["value"].notna()
    key = [name for name in ROW if name != "model"]
    some = valued.groupby([rows[name] for name in key]).transform("any")
    notes = []
    if not some.all():
        lost = rows.loc[~some, key].drop_duplicates()
        counts = lost.groupby("metric", sort=False).size()
        words = ", ".join(f"{metric} ({count})" for metric, count in counts.items())
        notes.append(f"Left out, since no table has a value: conditions of {words}.")
    rows, valued = rows[some].reset_index(drop=True), valued[some].reset_index(drop=True)
    status = np.where(valued, "ok", "failed")
    return rows.assign(status=status, reason=np.where(valued, "", "no value in the table")), notes
