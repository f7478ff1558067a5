"""The study of CycSeq: `python -m benchmarks.study --data-dir DIR --out DIR` repeats its whole table, or goes on with it.

Each question (suite and protocol) is three runs of the harness: the models CycSeq is held against with one seed, its
variants and its ablations with several. Then the scores of all are summarised together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from benchmarks.cli.options import split_names
from benchmarks.errors import BenchmarkError
from benchmarks.execution.plan import make_plan
from benchmarks.execution.watched import go_on
from benchmarks.tasks.question import Preset, Question
from reports import load
from reports.pages.study_page import write_study
from reports.stats.study_summary import summarise_seeds

ABLATIONS = Path(__file__).parents[2] / "baselines" / "ablations" / "cycseq.py"
"""Plugin of the ablations."""
VARIANTS = ("cycseq", "cycseq_plus")
"""Run with several seeds; each is two models, "_n2p" and "_p2n", of one training."""
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
"""The recipe with one part left out, each two models as well; seeds of their own number."""
OTHERS = ("context_transfer", "linear", "scgen", "gears")
"""Run with one seed, beside the brackets that every run has."""
console = Console()


@dataclass(frozen=True)
class StudyQuestion:
    """A suite under a protocol."""

    suite: str
    protocol: str
    folds: int
    """Folds asked; under `unseen_context` all of kang and grid, for the few conditions that each of them tests."""


QUESTIONS = (
    StudyQuestion("cropseq", "unseen_context", 1),
    StudyQuestion("cropseq", "held_out_cells", 1),
    StudyQuestion("kang", "unseen_context", 7),
    StudyQuestion("kang", "held_out_cells", 1),
    StudyQuestion("grid", "unseen_context", 2),
    StudyQuestion("grid", "held_out_cells", 1),
)
SMOKE = StudyQuestion("smoke", "unseen_context", 1)
"""Only where it is asked for by name: shows that the study runs."""


@dataclass(frozen=True)
class Study:
    """What is run, and where it goes."""

    out: Path
    data_dir: Path | None = None
    questions: tuple[StudyQuestion, ...] = QUESTIONS
    variants: tuple[str, ...] = VARIANTS
    ablations: tuple[str, ...] = ABLATED
    others: tuple[str, ...] = OTHERS
    seeds: int = 5
    ablation_seeds: int = 5
    preset: Preset = "quick"
    device: str = "cpu"
    jobs: int = 1
    threads: int = 1


def find_questions(only: str | None, protocol: str | None = None) -> tuple[StudyQuestion, ...]:
    """Choose the questions of some suites and of a protocol; raises `BenchmarkError` where there are none."""
    every = (*QUESTIONS, SMOKE)
    suites = {question.suite for question in QUESTIONS} if only is None else set(split_names(only))
    known = {question.suite for question in every}
    if not suites or suites - known:
        raise BenchmarkError(f"--only {only}: expected some of {', '.join(sorted(known))}, separated by commas.")
    protocols = sorted({question.protocol for question in every})
    if protocol is not None and protocol not in protocols:
        raise BenchmarkError(f"--protocol {protocol}: expected one of {', '.join(protocols)}.")
    found = tuple(q for q in every if q.suite in suites and protocol in (None, q.protocol))
    if not found:
        raise BenchmarkError(f"--only {only} --protocol {protocol}: no question is of both; leave one out.")
    return found


def run_study(study: Study) -> int:
    """Run what is not there yet, then write the tables; returns how many conditions failed."""
    tables, failures = [], 0
    for question in study.questions:
        folders = []
        for name, request in requests(study, question):
            plan = make_plan(request)
            folder = study.out / "runs" / f"{question.suite}-{question.protocol}-{study.preset}" / name
            failures += go_on(plan, folder, console, workers=study.jobs)
            folders.append(folder)
        tables.append(summarise(folders))
    for path in write_study(pd.concat(tables, ignore_index=True), study.out):
        console.print(f"Wrote {path}", highlight=False, soft_wrap=True)
    return failures


def requests(study: Study, question: StudyQuestion) -> Iterator[tuple[str, Question]]:
    """Ask the question of the others with one seed, then of variants and ablations with theirs; a list may be empty."""
    asked = (
        ("others", study.others, 1),
        ("variants", _both(study.variants), study.seeds),
        ("ablations", _both(study.ablations), study.ablation_seeds),
    )
    for name, models, seeds in asked:
        if models:
            yield (
                name,
                Question(
                    suite=question.suite,
                    protocol=question.protocol,
                    models=models,
                    data_dir=study.data_dir,
                    seeds=seeds,
                    folds=question.folds,
                    preset=study.preset,
                    plugins=(ABLATIONS,),
                    device=study.device,
                    threads=study.threads,
                ),
            )


def summarise(folders: list[Path]) -> pd.DataFrame:
    """Summarise the scores of runs of one question; what several of them hold (the brackets) is taken from the first."""
    tables = [load(folder) for folder in folders]
    scores, seen = [], set[str]()
    for table in tables:
        scores.append(table.scores[~table.scores["model"].isin(seen)])
        seen |= set(table.scores["model"].unique())
    joined = pd.concat(scores, ignore_index=True)
    other = {"n2p": "_p2n", "p2n": "_n2p"}
    own = [not model.endswith(other[d]) for model, d in zip(joined["model"], joined["direction"], strict=True)]
    return summarise_seeds(joined[own], tables[0].metrics)


def _both(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}_{direction}" for name in names for direction in ("n2p", "p2n"))
