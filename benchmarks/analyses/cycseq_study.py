"""CycSeq, its ablations and other models on several suites, with several seeds.

Each question (suite and protocol) is three runs: other models with one seed, variants of CycSeq and its ablations with
several. Then the scores of all runs are summarised together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchmarks.errors import BenchmarkError
from benchmarks.execution.events import Watcher, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Preset, Question
from reports import load
from reports.pages.study_page import write_study
from reports.stats.study_summary import summarise_seeds

ABLATIONS = Path(__file__).parents[2] / "baselines" / "ablations" / "cycseq.py"
"""Plugin of the ablations."""
VARIANTS = ("cycseq", "cycseq_plus")
"""Each is two models, "_n2p" and "_p2n", of one training."""
ABLATED = (
    "cycseq_no_cycle",
    "cycseq_no_adversarial",
    "cycseq_no_kl",
    "cycseq_no_attention",
    "cycseq_no_pretraining",
    "cycseq_no_finetuning",
    "cycseq_one_latent",
    "cycseq_random_start",
)
"""The paper's recipe with one part left out; each is two models as well."""
OTHERS = ("context_transfer", "linear", "scgen", "gears")
"""Run with one seed, beside the models of every run."""
QUESTIONS = (
    Question("cropseq", protocol="unseen_context", folds=1),
    Question("cropseq", protocol="held_out_cells", folds=1),
    Question("kang", protocol="unseen_context", folds=7),  # all folds, for each of them tests few conditions
    Question("kang", protocol="held_out_cells", folds=1),
    Question("grid", protocol="unseen_context", folds=2),
    Question("grid", protocol="held_out_cells", folds=1),
)
SMOKE = Question("smoke", protocol="unseen_context", folds=1)
"""Only where it is named: shows that the study runs."""


@dataclass(frozen=True)
class Study:
    """What is compared."""

    questions: tuple[Question, ...] = QUESTIONS
    variants: tuple[str, ...] = VARIANTS
    ablations: tuple[str, ...] = ABLATED
    others: tuple[str, ...] = OTHERS
    seeds: int = 5
    ablation_seeds: int = 5
    preset: Preset = "quick"

    def runs(self, question: Question) -> dict[str, Question]:
        """Name → question of the runs of one question; a list of models that is empty needs none."""
        groups = {
            "others": (self.others, 1),
            "variants": (_both(self.variants), self.seeds),
            "ablations": (_both(self.ablations), self.ablation_seeds),
        }
        return {
            name: replace(question, models=models, seeds=seeds, preset=self.preset, plugins=(ABLATIONS,))
            for name, (models, seeds) in groups.items()
            if models
        }


def find_questions(suites: Sequence[str] | None, protocol: str | None = None) -> tuple[Question, ...]:
    """Choose the questions of some suites (None: all but smoke) and of a protocol; raises `BenchmarkError` for none."""
    every = (*QUESTIONS, SMOKE)
    wanted = {q.suite for q in QUESTIONS} if suites is None else set(suites)
    found = tuple(q for q in every if q.suite in wanted and protocol in (None, q.protocol))
    if not found or wanted - {q.suite for q in every}:
        given = f"--only {','.join(suites or ())} --protocol {protocol or ''}"
        known = ", ".join(f"{q.suite} {q.protocol}" for q in every)
        raise BenchmarkError(f"{given}: expected suites, and a protocol, of these questions: {known}.")
    return found


def run_study(
    study: Study, out: Path, execution: Execution | None = None, watch: Watcher = ignore
) -> tuple[list[Path], int]:
    """Run what is not there yet, then write the tables, the page and the figures.

    `out` is the folder of runs and tables; what it holds of the study is kept.

    Returns
    -------
    list of Path, int
        What was written, and how many conditions failed.
    """
    execution, tables, failures = execution or Execution(), [], 0
    for question in study.questions:
        folders = []
        for name, one in study.runs(question).items():
            folder = out / "runs" / f"{question.suite}-{question.protocol}-{study.preset}" / name
            result = run(make_plan(one, execution.data_dir), folder, replace(execution, figures=False), watch)
            failures += result.failures
            folders.append(folder)
        tables.append(summarise(folders))
    return write_study(pd.concat(tables, ignore_index=True), out), failures


def summarise(folders: Sequence[Path]) -> pd.DataFrame:
    """Summarise the scores of runs of one question; a model that several of them have is taken from the first."""
    tables = [load(folder) for folder in folders]
    scores = pd.concat([table.scores.assign(run=place) for place, table in enumerate(tables)], ignore_index=True)
    scores = scores[scores["run"] == scores.groupby("model", observed=True)["run"].transform("min")].drop(columns="run")
    other = scores["direction"].map({"n2p": "_p2n", "p2n": "_n2p"})
    own = [not model.endswith(end) for model, end in zip(scores["model"], other, strict=True)]
    return summarise_seeds(scores[own], tables[0].metrics)


def _both(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}_{direction}" for name in names for direction in ("n2p", "p2n"))
