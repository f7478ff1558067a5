"""The result tables a report is made from: their columns, how to read them, and what makes them unusable."""

import csv
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.score_columns import SCORES

GROUP = tuple(column.name for column in SCORES if column.task)
"""What models are compared within; never across."""
SCORE_COLUMNS = tuple(column.name for column in SCORES)
METRIC_COLUMNS = ("metric", "family", "best", "higher_is_better", "scored", "undefined", "summary", "source")
PLANTED_COLUMNS = (*GROUP, "fold", "mixture", "share", "context", "perturbation", "metric", "value", "status")
_COSTS = ("fit_seconds", "predict_seconds", "peak_memory_mb")
COST_COLUMNS = ("model", "direction", "protocol", "fold", "seed", *_COSTS, "shared_training")
CONDITION_COLUMNS = (
    "protocol",
    "direction",
    "fold",
    "context",
    "perturbation",
    "dose",
    "n_truth_cells",
    "n_significant_genes",
)
_CONDITION = ("protocol", "direction", "fold", "context", "perturbation", "dose")
CHANGE_COLUMNS = (*_CONDITION, "gene", "perturbed", "true")
"""Of changes.csv: behind them is one column for each model, its name after `PREDICTED`."""
PREDICTED = "predicted:"
CELL_COLUMNS = (*_CONDITION, "cells", "model", "unit", "x", "y")
"""Of umap.csv; `cells` is input, true or predicted."""
ABILITIES = ("unseen_perturbation", "unseen_context", "combination", "dose")
"""What a model may be able to answer: yes, fallback, ignored, no, or "" for not stated."""
MODEL_COLUMNS = ("model", "directions", *ABILITIES, "summary", "limits", "source", "licence", "extra")
FAILED = ("failed", "timeout", "missing")
"""Statuses of a failure; "missing" is given here, to a condition that others have a row for and this model has not."""
DECLINED = ("unsupported", "needs_cells")
"""Statuses of what a model cannot give."""
LEFT_OUT = ("too_few_genes", "too_few_conditions")
"""Statuses of a condition that has no such score for any model."""
NOT_RUN = "not_run"
"""Status of what has been asked and has not run yet: the run was stopped before."""
UNINFORMATIVE = "uninformative"
"""Status of a row of the leaderboard whose metric cannot tell the task's split half from its baseline."""
_TEXT = tuple(column.name for column in SCORES if column.dtype == "text")
_NUMBERS = ("value", "dose", "n_truth_cells")
_PLANTED_TEXT = (*GROUP, "mixture", "context", "perturbation", "metric", "status")
_ROW = tuple(column.name for column in SCORES if column.key)


class ReportError(ValueError):
    """Result tables that cannot be reported."""


@dataclass(frozen=True)
class Tables:
    """The tables of one results folder."""

    scores: pd.DataFrame
    """One row per condition × metric × model × seed; columns `SCORE_COLUMNS`."""
    metrics: pd.DataFrame
    """One row per metric; columns `METRIC_COLUMNS`."""
    costs: pd.DataFrame
    """One row per fit; columns `COST_COLUMNS`, times in seconds, memory in MB."""
    planted: pd.DataFrame
    """One row per condition × metric of a predictor of known quality; columns `PLANTED_COLUMNS`, may have no row."""
    models: pd.DataFrame
    """One row per model, what it is and can do; columns `MODEL_COLUMNS`, may have no row."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the data, in words."""
    conditions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CONDITION_COLUMNS)))
    """One row per test condition of a fold and direction; columns `CONDITION_COLUMNS` and others, may have no row."""
    changes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CHANGE_COLUMNS)))
    """Some genes of each condition, their true change and that of each model; columns `CHANGE_COLUMNS`, may have no row."""
    cells: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CELL_COLUMNS)))
    """Places of some cells in a UMAP; columns `CELL_COLUMNS`, may have no row."""


def load(folder: Path) -> Tables:
    """Read and check `scores.csv`, `metrics.csv`, `costs.csv` and, where there are any, `planted.csv` and `models.csv`.

    Raises
    ------
    ReportError
        A file that is missing, empty or no CSV table, a missing column, or values that cannot be reported.
    """
    metrics = read_table(folder / "metrics.csv", numbers=("best",))
    if "family" not in metrics and "undefined" not in metrics:  # of the first version, which names no families
        metrics = metrics.assign(family="metrics", undefined="")
    return check_tables(
        read_table(folder / "scores.csv", numbers=_NUMBERS, words=_TEXT),
        metrics,
        read_table(folder / "costs.csv", numbers=_COSTS),
        _read_optional(folder / "planted.csv", ("value", "share", "dose"), _PLANTED_TEXT),
        _read_optional(folder / "models.csv"),
        _read_notes(folder / "notes.json"),
        _read_optional(folder / "conditions.csv", ("dose", "n_truth_cells", "n_significant_genes")),
        _read_changes(folder / "changes.csv"),
        _read_optional(folder / "umap.csv", ("dose", "x", "y"), ("cells", "model", "unit")),
    )


def check_tables(
    scores: pd.DataFrame,
    metrics: pd.DataFrame,
    costs: pd.DataFrame,
    planted: pd.DataFrame | None = None,
    models: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    conditions: pd.DataFrame | None = None,
    changes: pd.DataFrame | None = None,
    cells: pd.DataFrame | None = None,
) -> Tables:
    """Check the tables of one results folder; those that are not given have no row.

    Raises
    ------
    ReportError
        A missing column, or values that cannot be reported.
    """
    check_metrics(metrics)
    scores = check_scores(scores, metrics)
    costs = _require(costs, COST_COLUMNS, "costs.csv")
    datasets = sorted(set(scores["dataset"]))
    if len(datasets) > 1 and "dataset" not in costs:
        raise ReportError(
            f"costs.csv has no column 'dataset', but scores.csv holds {', '.join(datasets)}; write the "
            "column, so that no fit is counted for the wrong data set."
        )
    return Tables(
        scores,
        metrics,
        costs,
        _check_planted(_or_empty(planted, PLANTED_COLUMNS, "planted.csv"), metrics),
        _or_empty(models, MODEL_COLUMNS, "models.csv"),
        tuple(notes),
        _or_empty(conditions, CONDITION_COLUMNS, "conditions.csv"),
        _or_empty(changes, CHANGE_COLUMNS, "changes.csv"),
        _or_empty(cells, CELL_COLUMNS, "umap.csv"),
    )


def _read_changes(path: Path) -> pd.DataFrame | None:
    """Read changes.csv; None without the file."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        models = [name for name in next(csv.reader(file), []) if name.startswith(PREDICTED)]
    return read_table(path, ("dose", "true", *models), ("context", "perturbation", "gene"))


def _read_notes(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ReportError(
            f"{path} is not readable ({type(error).__name__}); delete it, or make the tables again."
        ) from error
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ReportError(f"{path} holds no list of texts; delete it, or make the tables again.")
    return tuple(notes)


def _read_optional(path: Path, numbers: tuple[str, ...] = (), words: tuple[str, ...] = ()) -> pd.DataFrame | None:
    """Read a table that external scoring may not have; None without the file."""
    return read_table(path, numbers, words) if path.is_file() else None


def _or_empty(table: pd.DataFrame | None, columns: tuple[str, ...], name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns)) if table is None else _require(table, columns, name)


def read_leaderboard(path: Path) -> pd.DataFrame:
    """Read back a `leaderboard.csv` as `leaderboard` made it."""
    return read_table(path, numbers=("mean", "low", "high", "scaled", "rank", "p_best", "n_conditions", "n_failed"))


def read_table(path: Path, numbers: tuple[str, ...], words: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a CSV in which "" and "nan" mean missing in the columns named `numbers`, and nothing does elsewhere.

    Columns named `words` become categories: a table of a million rows is read and grouped several times faster so.
    """
    if not path.is_file():
        raise ReportError(
            f"{path} does not exist; expected a results folder with scores.csv, metrics.csv and costs.csv."
        )
    missing = {name: ["", "nan", "NaN"] for name in numbers}
    try:
        table = read_csv(path, missing, dtype=dict.fromkeys(words, "category"))
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:  # text that is not UTF-8 is a ValueError
        raise ReportError(f"{path} is no CSV table ({error}); run the benchmark again.") from error
    check_numbers(table, numbers, path)
    return table


def check_numbers(table: pd.DataFrame, names: Iterable[str], source: object) -> None:
    """Raise `ReportError` for a column of these names, where it is there, that holds anything but numbers."""
    for name in set(names).intersection(table.columns):
        if pd.api.types.is_numeric_dtype(table[name]):
            continue
        values = table[name].dropna()
        bad = values[pd.to_numeric(values, errors="coerce").isna()]
        for value in (
            *bad[:1],
            *values[:1],
        ):  # numbers of more digits than a type has are text, and none of them is bad
            raise ReportError(f"{source}: column '{name}' holds {value!r}; expected numbers or empty cells.")


def read_csv(path: Path, missing: Mapping[str, Sequence[str]], **how: Any) -> pd.DataFrame:
    """Read a CSV whose `missing` are the texts of missing values, by column, and nothing is elsewhere.

    Rows with more fields than there are columns raise `ParserWarning`: pandas would take the first field for a label.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, keep_default_na=False, na_values=dict(missing), index_col=False, **how)


def check_metrics(metrics: pd.DataFrame) -> pd.DataFrame:
    """Check the table of metrics: its columns, no metric twice, True or False where it must be; returns it unchanged."""
    _require(metrics, METRIC_COLUMNS, "metrics.csv")
    twice = metrics.loc[metrics["metric"].duplicated(), "metric"].tolist()
    if twice:
        raise ReportError(f"metrics.csv names {', '.join(twice)} more than once; expected one row per metric.")
    for column in ("higher_is_better", "scored"):
        if not pd.api.types.is_bool_dtype(metrics[column]):
            found = metrics[column].unique().tolist()
            raise ReportError(f"metrics.csv: column '{column}' holds {found}; expected True or False in every row.")
    return metrics


def check_scores(scores: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Check the table of scores; returns a copy with text as categories and values of rows that are not ok removed.

    Raises
    ------
    ReportError
        No row or a missing column, an unknown status, kind, source or metric, a row without a condition or given twice,
        a model of two kinds, or status ok without a finite value.
    """
    _require(scores, SCORE_COLUMNS, "scores.csv")
    if scores.empty:
        raise ReportError("scores.csv has no row; expected one per condition, metric and model. Run the benchmark.")
    scores = scores.assign(**{column: _categories(scores[column]) for column in _TEXT})
    known = {column.name: column.allowed for column in SCORES if column.allowed}
    for column, words in (known | {"metric": tuple(metrics["metric"])}).items():
        _require_known(scores, column, words, "scores.csv")
    _refuse(scores, (scores["context"] == "") | (scores["perturbation"] == ""), "name no condition")
    ok = scores["status"] == "ok"
    scores["value"] = pd.to_numeric(scores["value"]).where(ok)
    scores["dose"] = pd.to_numeric(scores["dose"])
    _refuse(scores, ok & ~np.isfinite(scores["value"]), "have status ok and no finite value")
    _refuse(scores, scores.duplicated(list(_ROW)), "are given twice")
    kinds = scores[["model", "kind"]].drop_duplicates()["model"]
    _refuse(scores, scores["model"].isin(kinds[kinds.duplicated()]), "are of a model in some and a reference in others")
    return scores


def _check_planted(planted: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    _require_known(planted, "metric", tuple(metrics["metric"]), "planted.csv")
    bad = (planted["status"] == "ok") & ~np.isfinite(planted["value"].astype(float))
    _refuse(planted, bad, "have status ok and no finite value", "planted.csv")
    planted = planted.assign(share=planted["share"].astype(float))
    _refuse(planted, ~planted["share"].between(0, 1), "have a share outside 0 to 1", "planted.csv")
    return planted if "dose" in planted else planted.assign(dose=np.nan)


def _categories(column: pd.Series) -> pd.Series:
    """Return a column of text as categories in sorted order, missing text as ""."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column.fillna("").astype(str).astype("category")
    if column.isna().any():
        column = column.cat.set_categories(column.cat.categories.union([""])).fillna("")
    used = column.cat.remove_unused_categories()
    return used.cat.reorder_categories(sorted(used.cat.categories))


def _require(table: pd.DataFrame, columns: tuple[str, ...], name: str) -> pd.DataFrame:
    missing = [column for column in columns if column not in table]
    if missing:
        has = ", ".join(map(str, table.columns))
        raise ReportError(f"{name} lacks {', '.join(missing)}; it has {has}. Write it with the runner of this version.")
    return table


def _require_known(table: pd.DataFrame, column: str, known: tuple[str, ...], name: str) -> None:
    unknown = ", ".join(map(repr, sorted(set(table[column].unique()) - set(known))))
    if unknown:
        raise ReportError(f"{name}: column '{column}' holds {unknown}; expected one of {', '.join(known)}.")


def _refuse(table: pd.DataFrame, bad: pd.Series, problem: str, name: str = "scores.csv") -> None:
    """Raise an error that counts the rows marked in `bad` and names the first; nothing where there are none."""
    if bad.any():
        first = ", ".join(f"{column}={value}" for column, value in table[bad].iloc[0].items() if column in _ROW)
        raise ReportError(f"{name}: {bad.sum()} rows {problem}, first {first}. Score the run again.")
