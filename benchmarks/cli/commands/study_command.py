"""Train CycSeq, its ablations and other models on all suites, with several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.analyses.cycseq_study import ABLATED, OTHERS, VARIANTS, Study, console, find_questions, run_study
from benchmarks.cli.exit_codes import exit_statuses, tell_failures
from benchmarks.cli.options import DataDir, choice, split_names

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


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
