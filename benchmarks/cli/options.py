"""Options that several commands have, and checks of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from typer import Option

from benchmarks.errors import BenchmarkError

DataDir = Annotated[Path | None, Option(help="Folder with local copies of data files.")]
PresetName = Annotated[str, Option("--preset", help="quick (minutes) or paper (full training, all folds).")]
Folds = Annotated[int | None, Option(min=1, help="Number of folds; default: the preset's.")]
Seed = Annotated[int, Option(help="Base seed.")]
Jobs = Annotated[int, Option(min=1, help="Trainings at a time.")]
Threads = Annotated[int | None, Option(min=1, help="Threads of each training; default: cores / jobs.")]
Timeout = Annotated[float | None, Option(min=0.1, help="Seconds for one fit or one prediction.")]
Device = Annotated[str, Option(help="Torch device: cpu, cuda or mps.")]
Plugins = Annotated[list[Path] | None, Option("--plugin", help="A plugin file of yours; repeatable.")]
T = TypeVar("T", bound=str)


def own_file(
    h5ad: Annotated[Path | None, Option(help="A file of your own, in place of a suite or a data set.")] = None,
    perturbation_key: Annotated[str, Option(help="--h5ad: obs column of the perturbation.")] = "perturbation",
    context_key: Annotated[str, Option(help="--h5ad: obs column of the context; default: one context.")] = "",
    batch_key: Annotated[str, Option(help="--h5ad: obs column of the batch; default: one batch.")] = "",
    dose_key: Annotated[str, Option(help="--h5ad: obs column of the dose; default: none.")] = "",
    dose_unit: Annotated[str, Option(help="--h5ad: unit of doses that name none.")] = "nM",
    control: Annotated[
        list[str] | None,
        Option(help="--h5ad: a label of controls, or a pattern such as 'NT*'; repeatable; default: the usual ones."),
    ] = None,
    separator: Annotated[str, Option(help="--h5ad: what joins the parts of a combination.")] = "+",
    values: Annotated[str, Option(help="--h5ad: what the matrix holds: auto, counts, ln, log2 or zscore.")] = "auto",
    kind: Annotated[str, Option(help="--h5ad: what was done to the cells: CRISPR, drug or cytokine.")] = "CRISPR",
    gene_key: Annotated[str, Option(help="--h5ad: var column of the gene symbols; default: the index.")] = "",
    layer: Annotated[str, Option(help="--h5ad: matrix to read: X, raw, or a layer.")] = "X",
) -> Any:
    """Make an `OwnFile` of the options that describe one; None without --h5ad."""
    if h5ad is None:
        return None
    from benchmarks.data.own_file import OwnFile

    return OwnFile(
        path=h5ad.resolve(),
        perturbation=perturbation_key,
        context=context_key,
        batch=batch_key,
        dose=dose_key,
        dose_unit=dose_unit,
        control=tuple(control or ()),
        separator=separator,
        values=values,
        kind=kind,
        gene_key=gene_key,
        layer=layer,
    )


def takes_own_file(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `own_file`; what they describe is its argument `own`."""
    declared, added = signature(command).parameters, signature(own_file).parameters

    @wraps(command)
    def with_own_file(**given: Any) -> None:
        own = own_file(**{name: given.pop(name) for name in added})
        command(**given, own=own)

    hints = get_type_hints(command, include_extras=True) | get_type_hints(own_file, include_extras=True)
    with_own_file.__annotations__ = hints
    every = [*(parameter for name, parameter in declared.items() if name != "own"), *added.values()]
    typed = [parameter.replace(annotation=hints[parameter.name]) for parameter in every]
    with_own_file.__signature__ = signature(command).replace(parameters=typed)  # type: ignore[attr-defined]
    return with_own_file


def split_names(text: str) -> tuple[str, ...]:
    """Split an option's value at commas, but not inside brackets, as names of compounds have them; empty parts are left out."""
    return tuple(part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip())


def choice(option: str, given: str, known: tuple[T, ...]) -> T:
    """Return the known value that was given; raises `BenchmarkError`, which names them all."""
    for value in known:
        if value == given:
            return value
    raise BenchmarkError(f"{option} is '{given}'; expected one of {', '.join(k for k in known if k)}.")


def check_device(name: str) -> str:
    """Check a Torch device by its form; whether the machine has it is found by the models."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise BenchmarkError(f"--device is '{name}'; expected cpu, cuda, cuda:N or mps.")
    return name
