"""Compare a run with a reference: exit code 1 where a model got worse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from benchmarks.data.store.atomic_files import atomic
from benchmarks.errors import BenchmarkError
from benchmarks.regression.compare_runs import REMEDY, annotation, compare, github_lines, junit, print_moves
from benchmarks.regression.gate import MODEL, ROW, Move
from benchmarks.regression.gate_tables import is_board, read_table, write_reference
from reports.tables import ReportError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def parse_floors(given: Sequence[str], known: set[str]) -> dict[str, float]:
    """Read `--floor METRIC=VALUE`; raises `BenchmarkError`."""
    floors = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            floors[name] = float(value)
        except ValueError:
            floors[name] = np.nan
        if name not in known or not 0 <= floors[name] < np.inf:
            raise BenchmarkError(
                f"--floor got '{text}'; expected METRIC=VALUE with a metric of the new table and a number of at least 0. "
                f"Metrics: {', '.join(sorted(known))}."
            )
    return floors


def _stop(error: Exception, console: Console, report: Path | None, github: bool) -> typer.Exit:
    """Say why nothing could be compared, wherever the result is looked for."""
    console.print(str(error), markup=False, highlight=False)
    if github:
        print(annotation("error", "benchmarks.regress: not compared", str(error)))
    if report:
        with atomic(report) as handle:
            handle.write(junit([], [], str(error)))
    return typer.Exit(2)


@app.command()
def main(
    new: Annotated[Path, typer.Argument(help="A run's folder.")],
    reference: Annotated[
        Path | None, typer.Argument(help="A run's folder, a reference file or a leaderboard.csv.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Make NEW this reference file (.csv.gz); compares nothing.")
    ] = None,
    report: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Print GitHub annotations (default where GITHUB_ACTIONS=true).")
    ] = False,
    floor: Annotated[list[str] | None, typer.Option(help="METRIC=VALUE: smallest loss worth a failed build.")] = None,
) -> None:
    """Hold a run against a reference; exit status 1 if something got worse, 2 if the tables cannot be compared."""
    console = Console(width=160)
    github = github or os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        now = read_table(new)
        if write and not reference:
            write_reference(now, write)
            console.print(f"{write}: {len(now)} values, {write.stat().st_size / 1000:.0f} kB.", highlight=False)
            return
        if not reference or write:
            raise BenchmarkError("Expected either REFERENCE, to compare with, or --write FILE.csv.gz, to make one.")
        old = read_table(reference)
        moves = compare(now, old, parse_floors(floor or [], set(now["metric"])))
        if report:
            cases = pd.concat([now[MODEL], old[MODEL]]).drop_duplicates().itertuples(index=False, name=None)
            with atomic(report) as handle:
                handle.write(junit(moves, list(cases)))
    except (BenchmarkError, ReportError) as error:
        raise _stop(error, console, report, github) from error
    _tell(moves, old, console, github)
    if any(m.bad for m in moves):
        raise typer.Exit(1)


def _tell(moves: Sequence[Move], old: pd.DataFrame, console: Console, github: bool) -> None:
    """Print what moved and how many rows there were."""
    print_moves(moves, console)
    if is_board(old):
        console.print(
            "The reference is a leaderboard: compared unpaired, from its intervals; only large losses are seen."
        )
    worse = sum(m.bad for m in moves)
    console.print(
        f"{len(old[ROW].drop_duplicates())} rows compared: {worse} worse, {len(moves) - worse} better or new."
    )
    if worse:
        console.print(REMEDY)
    for line in github_lines(moves) if github else ():
        print(line)
