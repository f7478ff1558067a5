"""Command-line options that occur in several commands, and values that are checked alike wherever they occur."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from benchmarks.errors import BenchmarkError

DataDir = Annotated[Path | None, typer.Option(help="Folder with local copies of data files.")]
OwnH5ad = Annotated[Path | None, typer.Option(help="A file of your own, in place of a suite or a data set.")]
PerturbationKey = Annotated[str, typer.Option(help="--h5ad: obs column of the perturbation.")]
ContextKey = Annotated[str, typer.Option(help="--h5ad: obs column of the context; default: one context.")]
BatchKey = Annotated[str, typer.Option(help="--h5ad: obs column of the batch; default: one batch.")]
DoseKey = Annotated[str, typer.Option(help="--h5ad: obs column of the dose; default: none.")]
DoseUnit = Annotated[str, typer.Option(help="--h5ad: unit of doses that name none.")]
Control = Annotated[str, typer.Option(help="--h5ad: the control's label; default: the usual ones.")]
Separator = Annotated[str, typer.Option(help="--h5ad: what joins the parts of a combination.")]
Values = Annotated[str, typer.Option(help="--h5ad: what X holds: auto, counts, ln, log2 or zscore.")]
Kind = Annotated[str, typer.Option(help="--h5ad: what was done to the cells: CRISPR, drug or cytokine.")]
T = TypeVar("T", bound=str)


def split_names(text: str) -> tuple[str, ...]:
    """Split an option's value at commas; empty parts are left out."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def choice(option: str, given: str, known: tuple[T, ...]) -> T:
    """Return the known value that was given; raises `BenchmarkError`, which names them all."""
    for value in known:
        if value == given:
            return value
    raise BenchmarkError(f"{option} is '{given}'; expected one of {', '.join(k for k in known if k)}.")
