"""The command line: `python -m benchmarks.audits --suite S --out DIR`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from benchmarks.audits.direction import wrong_answers
from benchmarks.command import exit_statuses, say, tell_failures
from benchmarks.errors import UnknownName
from benchmarks.finished import FinishedRun
from benchmarks.integration.batches import MEANING, METHODS
from benchmarks.options import DataDir, choice, split_names
from benchmarks.plan import Plan, Request, make_plan
from benchmarks.watched import go_on
from reports import load
from reports.audits import compare_integrations, compare_protocols, judge_directions, rate_metrics, write_audits
from reports.tables import Tables

AUDITS = ("protocols", "direction", "integration")
LEAKY = "resampled"
INTEGRATED = "held_out_cells"
"""Protocol of the integration audit: per-condition ComBat needs training cells of every condition."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console()


@dataclass(frozen=True)
class Audit:
    """What is audited, and where it goes."""

    request: Request
    """The suite's own question; the audits change its protocol and integration."""
    out: Path
    audits: tuple[str, ...] = AUDITS
    jobs: int = 1


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
        request = Request(
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


def run_audits(audit: Audit) -> int:
    """Run what is not there yet, then write tables, figures and the page; returns how many conditions failed.

    Raises
    ------
    UnknownName, BenchmarkError
        An audit that does not exist, or what `make_plan` refuses.
    """
    for name in audit.audits:
        if name not in AUDITS:
            raise UnknownName("audit", name, AUDITS)
    tables: dict[str, pd.DataFrame] = {}
    failures = 0
    if {"protocols", "direction"} & set(audit.audits):
        plan, folder, failures = _run(audit, audit.request)
        honest = load(folder)
        if "protocols" in audit.audits:
            _, leaky, failed = _run(audit, replace(audit.request, protocol=LEAKY, folds=1))
            failures += failed
            tables["protocols"] = compare_protocols(honest, load(leaky))
        if "direction" in audit.audits and len(plan.directions) == 1:
            console.print(f"Suite {plan.suite.name} asks {plan.directions[0]} only: no audit of its direction.")
        elif "direction" in audit.audits:
            answers = wrong_answers(FinishedRun(folder, plan))
            tables["direction"] = judge_directions(honest, answers)
            tables["direction_metrics"] = rate_metrics(answers, honest.metrics)
    if "integration" in audit.audits:
        runs, effects, failed = _integrated(audit)
        failures += failed
        tables["integration"] = compare_integrations(runs, effects)
    for path in write_audits(tables, MEANING, audit.out):
        say(console, f"Wrote {path}")
    return failures


def _integrated(audit: Audit) -> tuple[dict[str, Tables], dict[str, pd.DataFrame], int]:
    """Run the suite under every method of integration: tables, surviving effects, failures."""
    runs, effects, failures = {}, {}, 0
    for method in METHODS:
        _, folder, failed = _run(audit, replace(audit.request, protocol=INTEGRATED, integration=method, folds=1))
        failures += failed
        runs[str(method)] = load(folder)
        if method != "none":
            effects[str(method)] = pd.read_csv(folder / "integration" / "effects.csv")
    return runs, effects, failures


def _run(audit: Audit, request: Request) -> tuple[Plan, Path, int]:
    """Run one request, or go on with it: its plan, its folder, its failures."""
    plan = make_plan(request)
    name = f"{plan.suite.name}-{plan.protocol}-{request.integration}-{request.preset}"
    folder = audit.out / "runs" / name
    return plan, folder, go_on(plan, folder, console, workers=audit.jobs)


if __name__ == "__main__":
    app()
