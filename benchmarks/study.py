"""The study of CycSeq: `python -m benchmarks.study --data-dir DIR --out DIR` repeats its whole table, or goes on with it.

Each question (suite and protocol) is three runs of the harness: the models CycSeq is held against with one seed, its
variants and its ablations with several. Then the scores of all are summarised together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from benchmarks.command import exit_statuses, tell_failures
from benchmarks.errors import BenchmarkError
from benchmarks.options import DataDir, choice, split_names
from benchmarks.plan import make_plan
from benchmarks.request import Preset, Request
from benchmarks.watched import go_on
from reports import load
from reports.study import summarise_seeds
from reports.study_page import write_study

ABLATIONS = Path(__file__).parents[1] / "baselines" / "ablations" / "cycseq.py"
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
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console()


@dataclass(frozen=True)
class Question:
    """A suite under a protocol."""

    suite: str
    protocol: str
    folds: int
    """Folds asked; under `unseen_context` all of kang and grid, for the few conditions that each of them tests."""


QUESTIONS = (
    Question("cropseq", "unseen_context", 1),
    Question("cropseq", "held_out_cells", 1),
    Question("kang", "unseen_context", 7),
    Question("kang", "held_out_cells", 1),
    Question("grid", "unseen_context", 2),
    Question("grid", "held_out_cells", 1),
)
SMOKE = Question("smoke", "unseen_context", 1)
"""Only where it is asked for by name: shows that the study runs."""


@dataclass(frozen=True)
class Study:
    """What is run, and where it goes."""

    out: Path
    data_dir: Path | None = None
    questions: tuple[Question, ...] = QUESTIONS
    variants: tuple[str, ...] = VARIANTS
    ablations: tuple[str, ...] = ABLATED
    others: tuple[str, ...] = OTHERS
    seeds: int = 5
    ablation_seeds: int = 5
    preset: Preset = "quick"
    device: str = "cpu"
    jobs: int = 1
    threads: int = 1


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def main(
    out: Annotated[Path, typer.Option(help="Where runs and tables go; what is there is kept and gone on with.")],
    data_dir: DataDir = None,
    only: Annotated[str | None, typer.Option(help="Suites, comma-separated: cropseq, kang, grid, smoke.")] = None,
    protocol: Annotated[str | None, typer.Option(help="unseen_context or held_out_cells; default: both.")] = None,
    variants: Annotated[str, typer.Option(help="Variants of CycSeq, without direction.")] = ",".join(VARIANTS),
    ablations: Annotated[str, typer.Option(help="Ablations of the recipe, without direction.")] = ",".join(ABLATED),
    others: Annotated[str, typer.Option(help="Models to hold them against.")] = ",".join(OTHERS),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each variant.")] = 5,
    ablation_seeds: Annotated[int, typer.Option(min=1, help="Seeds of each ablation.")] = 5,
    preset: Annotated[str, typer.Option(help="quick (the reduced size) or paper (full training).")] = "quick",
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes at a time.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads per worker.")] = 1,
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train and score CycSeq, its ablations and their rivals; write study.csv, study.md and figures.

    Exit status: 0 all went well, 1 some model failed, 2 the request or the data are not usable, 130 interrupted (what was
    finished is kept: give the same command again).
    """
    with exit_statuses(console):
        study = Study(
            out=out,
            data_dir=data_dir,
            questions=find_questions(only, protocol),
            variants=split_names(variants),
            ablations=split_names(ablations),
            others=split_names(others),
            seeds=seeds,
            ablation_seeds=ablation_seeds,
            preset=choice("--preset", preset, ("quick", "paper")),
            device=device,
            jobs=jobs,
            threads=threads,
        )
        failures = run_study(study)
    tell_failures(console, failures)


def find_questions(only: str | None, protocol: str | None = None) -> tuple[Question, ...]:
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


def requests(study: Study, question: Question) -> Iterator[tuple[str, Request]]:
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
                Request(
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


if __name__ == "__main__":
    app()
