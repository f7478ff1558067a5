"""Catch a model that got worse: `python -m benchmarks.regress NEW REFERENCE`.

Compares the suite-level means of two leaderboards. A loss is a value that moved the wrong way by more than its metric's
tolerance, a model that fails where it did not, a row that is gone, or one that no longer has a value. Losses make the exit
status 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from benchmarks.metrics import find_metric

KEYS = ["suite", "dataset", "protocol", "direction", "model", "metric"]
COLUMNS = [*KEYS, "level", "kind", "mean", "status", "n_failed"]
RELATIVE = {"mse": 0.05, "mae": 0.03, "e_distance": 0.10}
"""Metric → tolerated relative change; for scales that depend on the data."""
ABSOLUTE = {"r2": 0.01, "r2_pearson": 0.01, "pearson_delta": 0.03, "pearson_delta_shared": 0.03, "pds_cosine": 0.05}
"""Metric → tolerated absolute change."""
DEFAULT_ABSOLUTE = 0.05
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Move:
    """One row that is not what it was."""

    row: str
    old: float
    new: float
    tolerance: float
    verdict: str
    """"loss", "failed" (on more conditions than before), "gain", "gone", "no value" or "new"."""

    @property
    def bad(self) -> bool:
        """Whether it fails the build."""
        return self.verdict in ("loss", "failed", "gone", "no value")


def read_table(path: Path) -> pd.DataFrame:
    """Read suite-level rows of a leaderboard: a CSV, or a run's folder; raises `BenchmarkError`."""
    file = path / "leaderboard.csv" if path.is_dir() else path
    if not file.is_file():
        raise BenchmarkError(f"{path} is no leaderboard; expected leaderboard.csv or the folder of a run that has one.")
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    missing = [c for c in COLUMNS if c not in table]
    if missing:
        raise BenchmarkError(
            f"{file} lacks the column(s) {', '.join(missing)}; is it a leaderboard.csv of this project?"
        )
    rows = table[(table["level"] == "suite") & (table["kind"] == "model")].set_index(KEYS)
    if not rows.index.is_unique:
        raise BenchmarkError(
            f"{file} has two rows for {rows.index[rows.index.duplicated()][0]}; expected one a model and metric."
        )
    return rows


def tolerance(metric: str, old: float) -> float:
    """Say how far a metric may move without being noticed."""
    if metric in RELATIVE:
        return RELATIVE[metric] * abs(old) + 1e-6
    return ABSOLUTE.get(metric, DEFAULT_ABSOLUTE)


def compare(new: pd.DataFrame, reference: pd.DataFrame) -> list[Move]:
    """List every row that moved beyond its tolerance, is gone, has lost its value or is new.

    Parameters
    ----------
    new, reference
        From `read_table`.
    """
    moves = []
    for key, old in reference["mean"].items():
        row, metric = "/".join(map(str, key[2:])), find_metric(key[-1])
        if key not in new.index:
            moves.append(Move(row, old, np.nan, 0.0, "gone"))
            continue
        now, slack = float(new.loc[key, "mean"]), tolerance(metric.name, old)
        if new.loc[key, "n_failed"] > reference.loc[key, "n_failed"]:
            moves.append(Move(row, old, now, slack, "failed"))
        elif np.isnan(old) or np.isnan(now):
            if np.isnan(old) != np.isnan(now):
                moves.append(Move(row, old, now, slack, "no value" if np.isnan(now) else "new"))
        elif abs(now - old) > slack:
            better = (now > old) == metric.higher_is_better
            moves.append(Move(row, old, now, slack, "gain" if better else "loss"))
    moves += [
        Move("/".join(map(str, key[2:])), np.nan, float(value), 0.0, "new")
        for key, value in new["mean"].items()
        if key not in reference.index
    ]
    return moves


@app.command()
def main(
    new: Annotated[Path, typer.Argument(help="leaderboard.csv, or a run's folder.")],
    reference: Annotated[Path, typer.Argument(help="The table to hold it against.")],
) -> None:
    """Compare two leaderboards; exit status 1 if something got worse, 2 if a table cannot be used."""
    console = Console(width=120)
    try:
        old, now = read_table(reference), read_table(new)
        moves = compare(now, old)
    except BenchmarkError as error:
        console.print(str(error), markup=False, highlight=False)
        raise typer.Exit(2) from error
    table = Table("verdict", "protocol/direction/model/metric", "reference", "new", "change", "tolerance")
    for move in sorted(moves, key=lambda m: (not m.bad, m.row)):
        table.add_row(
            move.verdict, move.row, *(f"{v:.4g}" for v in (move.old, move.new, move.new - move.old, move.tolerance))
        )
    if moves:
        console.print(table)
    losses = sum(m.bad for m in moves)
    console.print(f"{len(old)} rows compared: {losses} worse, {len(moves) - losses} better or new.")
    if losses:
        console.print("If this is meant, renew the reference table (here: make reference) and say why in CHANGELOG.md.")
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
