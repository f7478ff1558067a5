"""Audit a suite: leakage, direction and batch correction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.analyses.suite_audits import AUDITS, Audit, console, run_audits
from benchmarks.cli.exit_codes import exit_statuses, tell_failures
from benchmarks.cli.options import DataDir, choice, split_names
from benchmarks.execution.plan import Question

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def main(
    suite: Annotated[str, typer.Option(help="Suite to audit; see `python -m benchmarks.run --list`.")],
    out: Annotated[Path, typer.Option(help="Where runs and tables go; what is there is kept and gone on with.")],
    only: Annotated[str, typer.Option(help="Audits, comma-separated.")] = ",".join(AUDITS),
    models: Annotated[str, typer.Option(help="Comma-separated; default: the suite's own list.")] = "",
    data_dir: DataDir = None,
    preset: Annotated[str, typer.Option(help="quick or paper.")] = "quick",
    folds: Annotated[
        int | None, typer.Option(min=1, help="Folds of the suite's protocol; default: the preset's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Base seed.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes at a time.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads per worker.")] = 1,
) -> None:
    """Run a suite honestly and leakily, in the wrong direction, and integrated; write audits.md, tables and figures.

    Exit status: 0 all went well, 1 some model failed, 2 the request or the data are not usable, 130 interrupted (what was
    finished is kept: give the same command again).
    """
    with exit_statuses(console):
        request = Question(
            suite=suite,
            models=split_names(models),
            data_dir=data_dir,
            folds=folds,
            preset=choice("--preset", preset, ("quick", "paper")),
            base_seed=seed,
            threads=threads,
        )
        failures = run_audits(Audit(request, out, split_names(only), jobs))
    tell_failures(console, failures)
