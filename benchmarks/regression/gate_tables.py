"""The tables of the regression gate: a run's folder, a reference file or an old leaderboard; and which can be compared.

A reference file is one gzipped CSV: a settled value per task, model, metric, context and condition, with all that is
needed to compare it later without the code and data it came from.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.data.store.atomic_files import atomic
from benchmarks.errors import BenchmarkError
from benchmarks.execution.manifest import read_manifest
from benchmarks.regression.gate import CELL, MODEL, N_BOOT, ROW, TASK, Difference, Move, floor_of, keys
from reports.stats.bootstrap import context_sizes, summarise
from reports.stats.condition_values import condition_values
from reports.tables import FAILED, NOT_RUN, check_numbers, load, read_csv, read_leaderboard

COLUMNS = (*ROW, *CELL, "seed", "kind", "value", "status", "seed_sd", "n_seeds", "steady", "budget", "audit")
"""Columns of a settled table, followed by `FACTS` of the metric and `ORIGIN` of the run."""
FACTS = ("family", "higher_is_better", "judged")
ORIGIN = ("space", "data", "splits")
BOARD = (*ROW, "level", "kind", "mean", "low", "high", "n_conditions", "n_failed", "status")
_NUMBERS = ("value", "seed_sd", "n_seeds")
_YES_OR_NO = ("steady", "higher_is_better", "judged")
_TEXT = (*ROW, *CELL, *ORIGIN, "kind", "status", "budget", "audit", "family")


def read_table(path: Path) -> pd.DataFrame:
    """Read a run's folder (scores.csv, metrics.csv, costs.csv; manifest.json if there), a reference file or a leaderboard.csv.

    Returns
    -------
    DataFrame
        Of a run or reference file, one row per (`ROW`, `CELL`, seed): `value` (the settled one, 7 significant digits, NaN
        where left out for all models), `status`, `reason`, `seed_sd` (standard deviation over the `n_seeds` training seeds
        of the mean over conditions; NaN with one seed), `steady` (a model whose seeds agree on every metric: it has no
        training noise), `judged` (False where a metric only describes), facts and origin. Of a leaderboard, its rows of
        level "suite" with column `mean`.

    Raises `BenchmarkError` or `ReportError` where there is no such table, or it cannot be read.
    """
    if path.is_dir():
        return _read_run(path)
    if not path.is_file():
        expected = (
            "a run's folder with scores.csv and metrics.csv, a reference file made with --write, or a leaderboard.csv"
        )
        raise BenchmarkError(f"{path} does not exist; expected {expected}.")
    try:
        table = read_csv(path, {name: [""] for name in _NUMBERS}, float_precision="round_trip")
    except (OSError, EOFError, zlib.error, ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise BenchmarkError(f"{path} is not a table ({error}); make it again with --write.") from error
    if "condition" not in table and "level" in table:
        board = read_leaderboard(path)
        found = _checked(board, BOARD, ROW, path)
        if board[["n_conditions", "n_failed"]].isna().any(axis=None):
            raise BenchmarkError(
                f"{path} has rows without n_conditions or n_failed: it is cut or damaged. Make it again."
            )
        return found
    table = _checked(table, (*COLUMNS, *FACTS, *ORIGIN), [*ROW, *CELL, "seed"], path)
    check_numbers(table, (*_NUMBERS, "seed"), path)
    for name in _YES_OR_NO:
        if not pd.api.types.is_bool_dtype(table[name]):
            raise BenchmarkError(f"{path}: column '{name}' holds {table[name].unique()[:3]}; expected True or False.")
    return table.astype(dict.fromkeys(_TEXT, str)).assign(reason="")


def _read_run(folder: Path) -> pd.DataFrame:
    """Settle the scores of a run's folder."""
    tables, manifest = load(folder), dict[str, Any](read_manifest(folder))
    scores = _plain(tables.scores)
    seeds = scores.groupby("seed", sort=True)
    table = pd.concat(
        [_plain(condition_values(rows, tables.metrics)).assign(seed=k) for k, rows in seeds], ignore_index=True
    )
    table["value"] = [float(f"{v:.7g}") for v in table["value"].where(~table["left_out"])]
    facts = tables.metrics[["metric", "family", "higher_is_better"]].assign(judged=tables.metrics["best"].notna())
    table = table.merge(facts, on="metric").merge(_seed_spread(scores), on=ROW, how="left")
    table["steady"] = table["steady"].eq(True)
    dataset, splits = (manifest.get(name) or {} for name in ("dataset", "splits"))
    return table.assign(
        space=str(manifest.get("space", "")),
        data=str(dataset.get("sha256", ""))[:16],
        splits=" ".join(f"{fold}={digest[:16]}" for fold, digest in sorted(splits.items())),
    )


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Turn categories into text: two tables have different ones."""
    return table.astype(dict.fromkeys(table.select_dtypes("category"), str))


def _seed_spread(scores: pd.DataFrame) -> pd.DataFrame:
    """Return, per row, how many seeds there are and the standard deviation of the mean over conditions between them."""
    ok = scores[scores["status"] == "ok"].fillna({"dose": -1.0})
    conditions = ok.groupby([*ROW, "seed", "context", "perturbation", "dose"])["value"].mean()
    contexts = conditions.groupby(level=[*ROW, "seed", "context"]).agg(["mean", "size"])
    means = contexts.groupby(level=[*ROW, "seed"]).agg(mean=("mean", "mean"), size=("size", "sum"))
    spread = means.groupby(level=ROW).agg(
        seed_sd=("mean", "std"), n_seeds=("mean", "size"), least=("size", "min"), most=("size", "max")
    )
    # seeds that failed on different conditions differ by that; their spread is not the training's
    spread["seed_sd"] = spread["seed_sd"].where(spread["least"] == spread["most"])
    agree = (spread["n_seeds"] > 1) & (spread["seed_sd"] <= 1e-9)
    return spread[["seed_sd", "n_seeds"]].assign(steady=agree.groupby(level=MODEL).transform("all")).reset_index()


def at_common_seeds(new: pd.DataFrame, reference: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average two settled tables over the training seeds both have; over each one's own where there is none.

    A row is ok where all its seeds are. References, which train nothing, keep what they have. `n_used` is the number of
    seeds averaged.
    """
    common = set(new["seed"]) & set(reference["seed"])
    return _average(new, common or set(new["seed"])), _average(reference, common or set(reference["seed"]))


def _average(table: pd.DataFrame, seeds: set[int]) -> pd.DataFrame:
    table = table[table["seed"].isin(seeds) | (table["kind"] == "reference")]
    rows = table.assign(own=table["status"] == "ok", gap=table["value"].isna(), n_used=1)
    groups = rows.sort_values([*ROW, *CELL, "own", "seed"]).groupby([*ROW, *CELL], sort=True)
    first, means = groups.head(1).reset_index(drop=True), groups[["value", "gap"]].mean()
    value = means["value"].where(means["gap"] == 0).to_numpy()
    return first.assign(value=value, n_used=groups.size().to_numpy())


def write_reference(table: pd.DataFrame, path: Path) -> None:
    """Write a settled table as a reference file; the same table gives the same bytes.

    Raises `BenchmarkError` for a name that does not end in .csv.gz, a leaderboard or a run that is not complete, and `StoreError` if the disk refuses.
    """
    if not path.name.endswith(".csv.gz"):
        raise BenchmarkError(f"The reference file is named {path.name}; expected a name that ends in .csv.gz.")
    if is_board(table):
        raise BenchmarkError("A leaderboard has no values per condition; make a reference of a run's folder.")
    missing = sorted(set(table.loc[table["status"] == NOT_RUN, "model"]))
    if missing:
        raise BenchmarkError(
            f"The run is not complete: {', '.join(missing)} have not run everything; --resume it first."
        )
    table = table[[*COLUMNS, *FACTS, *ORIGIN]].sort_values([*ROW, *CELL, "seed"])
    with atomic(path) as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as handle:
        handle.write(table.to_csv(index=False, float_format="%.7g").encode())


def is_board(table: pd.DataFrame) -> bool:
    """Whether a table is a leaderboard: means, no conditions."""
    return "condition" not in table


def _checked(table: pd.DataFrame, columns: tuple[str, ...], unique: list[str], path: Path) -> pd.DataFrame:
    """Return the table; raises `BenchmarkError` where columns are missing or rows occur twice."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise BenchmarkError(
            f"{path} lacks the column(s) {', '.join(missing)}; expected a reference file made with --write, or a "
            "leaderboard.csv of this project. Make it again."
        )
    table = table[table["level"] == "suite"] if "level" in columns else table
    twice = table[table.duplicated(unique)]
    if len(twice):
        raise BenchmarkError(f"{path} has two rows for {'/'.join(map(str, twice.iloc[0][unique]))}; expected one.")
    return table


def check_comparable(new: pd.DataFrame, reference: pd.DataFrame) -> None:
    """Raise `BenchmarkError` unless two tables are of the same data, tasks, conditions and training budgets."""
    found = [keys(table, ["suite", "dataset", "source", "protocol"]) for table in (new, reference)]
    if found[0] != found[1]:
        raise _not_comparable("suite, data set, source or protocol", *("; ".join(map("/".join, f)) for f in found))
    if is_board(reference):
        return
    for column, what in zip(ORIGIN, ("expression space", "data set (sha256)", "split"), strict=True):
        values = [", ".join(v for (v,) in keys(table, [column])) for table in (new, reference)]
        if all(values) and values[0] != values[1]:
            raise _not_comparable(what, *values)
    # of the same split, a model that is proved compares with one that is not; one that leaks has failed
    tables = (
        table.assign(audit=table["audit"].replace(r"^(proved|not proved: .*|leak: .*)$", "clean", regex=True))
        for table in (new, reference)
    )
    new, reference = tables
    pairs = new.drop_duplicates(ROW).merge(reference.drop_duplicates(ROW), on=ROW)
    for column, what in (("budget", "training budget"), ("audit", "leakage audit"), ("higher_is_better", "direction")):
        other = pairs[pairs[f"{column}_x"] != pairs[f"{column}_y"]]
        if len(other):
            row = other.iloc[0]
            name = row["metric"] if column == "higher_is_better" else row["model"]
            raise _not_comparable(f"{what} of {name}", str(row[f"{column}_x"]), str(row[f"{column}_y"]))
    for task in sorted(set(keys(new, TASK)) & set(keys(reference, TASK))):
        here, there = (set(keys(table[(table[TASK] == list(task)).all(axis=1)], CELL)) for table in (new, reference))
        differences = [sorted(s) for s in (here - there, there - here) if s]
        if differences:
            only = (f"{len(s)} of its own ({', '.join(map('/'.join, s[:3]))})" for s in differences)
            raise _not_comparable(f"conditions of {'/'.join(task)}", str(len(here)), f"{len(there)}: {'; '.join(only)}")


def _not_comparable(what: str, new: str, reference: str) -> BenchmarkError:
    return BenchmarkError(
        f"Other {what}: new table {new}, reference {reference}. The two cannot be compared; run with the "
        "reference's settings, or make the reference again (--write) and say why."
    )


def unpaired(new: pd.DataFrame, board: pd.DataFrame, floors: Mapping[str, float]) -> list[Difference]:
    """Take the difference of every row of a leaderboard from means and intervals, which shows only large losses."""
    old = board.set_index(ROW)
    used = new[new["value"].notna() & new["judged"]].sort_values([*ROW, *CELL])
    found = []
    for key, rows in used.groupby(ROW, sort=True):
        if key not in old.index or np.isnan(old.loc[key, "mean"]):
            continue
        sizes = context_sizes(rows["context"].to_numpy())
        mean, low, high = summarise(rows["value"].to_numpy(), sizes, n_boot=N_BOOT, seed=0)
        then, fact = old.loc[key], rows.iloc[0]
        before = float(then["mean"])
        error = float(np.hypot(high - low, then["high"] - then["low"])) / (2 * 1.96)
        gain = mean - before if fact["higher_is_better"] else before - mean
        floor = floor_of(key[-1], fact["family"], before, floors)
        moved = abs(gain) > 1e-5 * abs(mean)  # a leaderboard has six significant digits
        freedom = max(min(len(rows), int(then["n_conditions"])) - 1.0, 1.0)
        found.append(Difference(key, before, mean, gain, error, freedom, floor, moved, len(rows)))
    return found


def board_changes(new: pd.DataFrame, board: pd.DataFrame) -> Iterator[Move]:
    """Yield models that fail on more conditions than in a leaderboard, or have no value where it has one."""
    for key, rows in board.groupby(MODEL, sort=True):
        own = new[(new[MODEL] == list(key)).all(axis=1)]
        if own.empty:
            continue
        bad = own[own["status"].isin(FAILED)]
        failed = int(bad.groupby("metric").size().max()) if len(bad) else 0
        if failed > rows["n_failed"].max():
            yield Move(key[:-1], key[-1], "", "failed", detail=f"{failed} conditions, were {rows['n_failed'].max()}")
        had = rows.loc[rows["mean"].notna(), "metric"]
        has, known = set(own.loc[own["value"].notna(), "metric"]), set(new["metric"])
        lost = [name for name in had if name in known and name not in has]
        if lost and not failed:
            yield Move(key[:-1], key[-1], "", "no value", detail=", ".join(lost))
