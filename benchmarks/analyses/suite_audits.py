"""The command line: `python -m benchmarks.audits --suite S --out DIR`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from benchmarks.analyses.wrong_direction import wrong_answers
from benchmarks.cli.exit_codes import say
from benchmarks.errors import UnknownName
from benchmarks.execution.load_run import FinishedRun
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.watched import go_on
from benchmarks.tasks.batch_correction.batches import MEANING, METHODS
from benchmarks.tasks.question import Question
from reports import load
from reports.pages.audits_page import write_audits
from reports.stats.audits.directions import judge_directions, rate_metrics
from reports.stats.audits.integrations import compare_integrations
from reports.stats.audits.protocol_pairs import compare_protocols
from reports.tables import Tables

AUDITS = ("protocols", "direction", "integration")
LEAKY = "resampled"
INTEGRATED = "held_out_cells"
"""Protocol of the integration audit: per-condition ComBat needs training cells of every condition."""
console = Console()


@dataclass(frozen=True)
class Audit:
    """What is audited, and where it goes."""

    request: Question
    """The suite's own question; the audits change its protocol and integration."""
    out: Path
    audits: tuple[str, ...] = AUDITS
    jobs: int = 1


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


def _run(audit: Audit, request: Question) -> tuple[Plan, Path, int]:
    """Run one request, or go on with it: its plan, its folder, its failures."""
    plan = make_plan(request)
    name = f"{plan.suite.name}-{plan.protocol}-{request.integration}-{request.preset}"
    folder = audit.out / "runs" / name
    return plan, folder, go_on(plan, folder, console, workers=audit.jobs)
