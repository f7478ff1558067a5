"""Options that several commands have, and checks of their values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from typer import Option

from benchmarks.errors import choice as choice

DataDir = Annotated[Path | None, Option(help="Folder with local copies of data files.")]
OwnH5ad = Annotated[Path | None, Option(help="A file of your own, in place of a suite or a data set.")]
PerturbationKey = Annotated[str, Option(help="--h5ad: obs column of the perturbation.")]
ContextKey = Annotated[str, Option(help="--h5ad: obs column of the context; default: one context.")]
BatchKey = Annotated[str, Option(help="--h5ad: obs column of the batch; default: one batch.")]
DoseKey = Annotated[str, Option(help="--h5ad: obs column of the dose; default: none.")]
DoseUnit = Annotated[str, Option(help="--h5ad: unit of doses that name none.")]
Control = Annotated[
    list[str] | None,
    Option(help="--h5ad: a label of controls, or a pattern such as 'NT*'; repeatable; default: the usual ones."),
]
Separator = Annotated[str, Option(help="--h5ad: what joins the parts of a combination.")]
Values = Annotated[str, Option(help="--h5ad: what X holds: auto, counts, ln, log2 or zscore.")]
GeneKey = Annotated[str, Option(help="--h5ad: var column of the gene symbols; default: the index.")]
Layer = Annotated[str, Option(help="--h5ad: matrix to read: X, raw, or a layer.")]
Kind = Annotated[str, Option(help="--h5ad: what was done to the cells: CRISPR, drug or cytokine.")]
FolderName = Annotated[str, Option("--name", help="Name of the folder in that of the suite; default: the time.")]
PresetName = Annotated[str, Option("--preset", help="quick (minutes) or paper (full training, all folds).")]
Folds = Annotated[int | None, Option(min=1, help="Number of folds; default: the preset's.")]
Seed = Annotated[int, Option(help="Base seed.")]
Jobs = Annotated[int, Option(min=1, help="Trainings at a time.")]
Threads = Annotated[int | None, Option(min=1, help="Threads of each training; default: cores / jobs.")]
Timeout = Annotated[float | None, Option(min=0.1, help="Seconds for one fit or one prediction.")]
Memory = Annotated[
    str | None, Option(help="Memory a run may use, such as 4G; default: three quarters of what is free.")
]
Device = Annotated[str, Option(help="Torch device: cpu, cuda or mps.")]
Plugins = Annotated[list[Path] | None, Option("--plugin", help="A plugin file of yours; repeatable.")]


def split_names(text: str) -> tuple[str, ...]:
    """Split an option's value at commas, but not inside brackets, as names of compounds have them; empty parts are left out."""
    return tuple(part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip())
