"""Audits of a suite: what leakage, the wrong direction and batch correction do to its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchmarks.analyses.wrong_direction import wrong_answers
from benchmarks.errors import UnknownName
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.load_run import FinishedRun
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.batch_correction.batches import MEANING, METHODS
from benchmarks.tasks.question import Question
from reports import load
from reports.pages.audits_page import write_audits
from reports.stats.audits.direction_audit import judge_directions, rate_metrics
from reports.stats.audits.integration_audit import compare_integrations
from reports.stats.audits.protocol_audit import compare_protocols

AUDITS = ("protocols", "direction", "integration")
LEAKY = "resampled"
INTEGRATED = "held_out_cells"
"""Protocol of the integration audit: per-condition ComBat needs training cells of every condition."""


@dataclass
class Audit:
    """The runs and tables of some audits of one suite."""

    question: Question
    """The suite's own question; the audits change its protocol and integration."""
    out: Path
    execution: Execution
    watch: Watcher = ignore
    failures: int = 0

    def run(self, **changes: object) -> tuple[Plan, Path]:
        """Run the question with some changes, or go on with that run; returns its plan and folder."""
        question = replace(self.question, **changes)  # type: ignore[arg-type]
        plan = make_plan(question, self.execution.data_dir)
        folder = self.out / "runs" / f"{plan.suite.name}-{plan.protocol}-{question.integration}-{question.preset}"
        self.failures += run(plan, folder, replace(self.execution, figures=False), self.watch).failures
        return plan, folder

    def tables(self, audits: Sequence[str]) -> dict[str, pd.DataFrame]:
        """Run what the audits need; returns their tables. A suite of one direction has no audit of its direction."""
        tables: dict[str, pd.DataFrame] = {}
        if {"protocols", "direction"} & set(audits):
            plan, folder = self.run()
            honest = load(folder)
            if "protocols" in audits:
                tables["protocols"] = compare_protocols(honest, load(self.run(protocol=LEAKY, folds=1)[1]))
            if "direction" in audits and len(plan.directions) > 1:
                answers = wrong_answers(FinishedRun(folder, plan))
                tables["direction"] = judge_directions(honest, answers)
                tables["direction_metrics"] = rate_metrics(answers, honest.metrics)
        if "integration" in audits:
            folders = {str(m): self.run(protocol=INTEGRATED, integration=m, folds=1)[1] for m in METHODS}
            effects = {m: pd.read_csv(f / "integration" / "effects.csv") for m, f in folders.items() if m != "none"}
            tables["integration"] = compare_integrations({m: load(f) for m, f in folders.items()}, effects)
        return tables


def run_audits(
    question: Question,
    out: Path,
    audits: Sequence[str] = AUDITS,
    execution: Execution | None = None,
    watch: Watcher = ignore,
) -> tuple[list[Path], int]:
    """Run what is not there yet, then write tables, figures and the page.

    Parameters
    ----------
    question
        The suite's own question.
    out
        Folder of runs and tables.
    audits
        Some of `AUDITS`.
    execution, watch
        As for `run`.

    Returns
    -------
    list of Path, int
        What was written, and how many conditions failed.

    Raises
    ------
    UnknownName, BenchmarkError
        An audit that does not exist, or what `make_plan` refuses.
    """
    for name in audits:
        if name not in AUDITS:
            raise UnknownName("audit", name, AUDITS)
    audit = Audit(question, out, execution or Execution(), watch)
    return write_audits(audit.tables(audits), MEANING, out), audit.failures
