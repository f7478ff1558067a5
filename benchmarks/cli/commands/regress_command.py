"""Compare a run with a reference: exit code 1 where a model got worse."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Exit, Option

from benchmarks.cli.console import say
from benchmarks.errors import BenchmarkError


def parse_floors(given: Sequence[str], known: Iterable[str]) -> dict[str, float]:
    """Read `--floor METRIC=VALUE`; raises `BenchmarkError`."""
    floors, names = {}, set(known)
    for text in given:
        name, _, value = text.partition("=")
        try:
            floors[name] = float(value)
        except ValueError:
            floors[name] = math.nan
        if name not in names or not 0 <= floors[name] < math.inf:
            raise BenchmarkError(
                f"--floor got '{text}'; expected METRIC=VALUE with a metric of the new table and a number of at least 0. "
                f"Metrics: {', '.join(sorted(names))}."
            )
    return floors


def _report_error(text: str, report: Path | None, github: bool) -> None:
    """Write why nothing was compared wherever the result is expected."""
    from benchmarks.data.store.atomic_files import atomic
    from benchmarks.regression.compare_runs import annotation, junit

    if github:
        print(annotation("error", "benchmarks.regress: not compared", text))
    if report:
        with atomic(report) as handle:
            handle.write(junit([], [], text))


def main(
    new: Annotated[Path, Argument(help="A run's folder.")],
    reference: Annotated[Path | None, Argument(help="A run's folder, a reference file or a leaderboard.csv.")] = None,
    write: Annotated[Path | None, Option(help="Make NEW this reference file (.csv.gz); compares nothing.")] = None,
    report: Annotated[Path | None, Option("--junit", help="Write JUnit XML here.")] = None,
    github: Annotated[bool, Option("--github", help="Annotate (default where GITHUB_ACTIONS=true).")] = False,
    floor: Annotated[list[str] | None, Option(help="METRIC=VALUE: smallest loss worth a failed build.")] = None,
) -> None:
    """Compare a run with a reference; exit status 1 if something got worse, 2 if the tables cannot be compared."""
    from benchmarks.data.store.atomic_files import atomic  # the imports below are slow, and --help needs none of them
    from benchmarks.regression import compare_runs
    from benchmarks.regression.gate import MODEL, ROW, keys
    from benchmarks.regression.gate_tables import is_board, read_table, write_reference
    from reports.tables import ReportError

    console = Console(width=160)
    github = github or os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        now = read_table(new)
        if write and not reference:
            write_reference(now, write)
            say(f"{write}: {len(now)} values, {write.stat().st_size / 1000:.0f} kB.")
            return
        if not reference or write:
            raise BenchmarkError("Expected either REFERENCE, to compare with, or --write FILE.csv.gz, to make one.")
        old = read_table(reference)
        moves = compare_runs.compare(now, old, parse_floors(floor or [], now["metric"]))
        if report:
            with atomic(report) as handle:
                handle.write(compare_runs.junit(moves, [*keys(now, MODEL), *keys(old, MODEL)]))
    except (BenchmarkError, ReportError) as error:
        _report_error(str(error), report, github)
        raise BenchmarkError(str(error)) from error
    compare_runs.print_moves(moves, console)
    if is_board(old):
        console.print(
            "The reference is a leaderboard: compared unpaired, from its intervals, which shows only large losses."
        )
    worse = sum(m.bad for m in moves)
    console.print(f"{len(keys(old, ROW))} rows compared: {worse} worse, {len(moves) - worse} better or new.")
    if worse:
        console.print(compare_runs.REMEDY)
    for line in compare_runs.github_lines(moves) if github else ():
        print(line)
    if worse:
        raise Exit(1)
