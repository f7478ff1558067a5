"""Score prediction files of any tool, without training: `python -m benchmarks.score PREDICTIONS.h5ad --truth TRUTH.h5ad`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from benchmarks.cli.console import console, say
from benchmarks.cli.options import FolderName, choice


def main(
    predictions: Annotated[list[Path], Argument(help="h5ad files of predicted cells, or one mean row a condition.")],
    truth: Annotated[Path, Option(help="h5ad file of true cells, controls among them.")],
    train: Annotated[Path | None, Option(help="h5ad file of the training cells.")] = None,
    perturbation_key: Annotated[str, Option(help="obs column of the perturbation.")] = "perturbation",
    context_key: Annotated[str, Option(help="obs column of the context; default: one context.")] = "",
    dose_key: Annotated[str, Option(help="obs column of the dose; default: none.")] = "",
    dose_unit: Annotated[str, Option(help="Unit of doses that name none.")] = "nM",
    control: Annotated[
        list[str] | None,
        Option(help="A label of controls, or a pattern such as 'NT*'; repeatable; default: the usual ones."),
    ] = None,
    gene_key: Annotated[str, Option(help="var column of the gene symbols; default: the index.")] = "",
    layer: Annotated[str, Option(help="Matrix to read: X, raw, or a layer.")] = "X",
    separator: Annotated[str, Option(help="What joins the parts of a combination.")] = "+",
    space: Annotated[str, Option(help="What X holds: auto, counts, ln, log2 or zscore.")] = "auto",
    direction: Annotated[str, Option(help="n2p (perturbed cells predicted) or p2n (controls).")] = "n2p",
    genes: Annotated[str, Option(help="all: every gene of the truth; shared: those all files have.")] = "all",
    start: Annotated[str, Option(help="Controls that predictions start from: truth or prediction.")] = "",
    source: Annotated[str, Option(help="real or simulated cells.")] = "real",
    calibrate: Annotated[bool, Option(help="Whether to score references and planted predictors.")] = True,
    figures: Annotated[bool, Option(help="Whether to draw figures.")] = True,
    out: Annotated[Path, Option(help="Where results go.")] = Path("results/external"),
    name: FolderName = "",
    seed: Annotated[int, Option(help="Seed of every random choice.")] = 0,
    threads: Annotated[int | None, Option(min=1, help="Conditions scored at a time; default: cores.")] = None,
) -> None:
    """Score predictions; write the same tables and figures as a run of the benchmark.

    Exit status: 0 scored, 1 some condition has no usable prediction, 2 the files cannot be scored.
    """
    from benchmarks.contract import DIRECTIONS  # the imports below are slow, and --help needs none of them
    from benchmarks.data.readers.h5ad import INDEX, Keys
    from benchmarks.data.readers.labels import Labelling
    from benchmarks.data.schema import SOURCE_SPACES
    from benchmarks.execution.machine import usable_cores
    from benchmarks.execution.run_folders import new_folder
    from benchmarks.scoring.external.score_files import (
        GENES,
        SOURCES,
        STARTS,
        ScoringRequest,
        score_files,
        write,
    )
    from reports import read_leaderboard
    from reports.pages.console import print_summary

    request = ScoringRequest(
        predictions=tuple(predictions),
        truth=truth,
        train=train,
        keys=Keys(
            perturbation_key,
            context_key,
            dose=dose_key,
            dose_unit=dose_unit,
            genes=gene_key or INDEX,
            labelling=Labelling(separator, tuple(control or ())),
            layer=layer,
        ),
        space=None if space == "auto" else choice("--space", space, ("auto", *SOURCE_SPACES)),
        direction=choice("--direction", direction, DIRECTIONS),
        genes=choice("--genes", genes, GENES),
        start=choice("--start", start, STARTS),
        source=choice("--source", source, SOURCES),
        calibrate=calibrate,
        seed=seed,
        threads=threads or usable_cores(),
    )
    scored = score_files(request)
    with new_folder(out, name) as folder:
        write(scored, folder, figures=figures)
    print_summary(read_leaderboard(folder / "leaderboard.csv"), console)
    for note in scored.notes:
        say(f"Note: {note}")
    say(f"Results: {folder}")
    if (scored.scores["status"] == "failed").any():
        raise Exit(1)
