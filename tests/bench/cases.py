"""Made-up screens of stated size and density, written to disk a few cells at a time.

Counts are Poisson with a rate per gene (log-normal, scaled so that the stated share of values is not zero) and a depth per
cell; a perturbation multiplies the rates of some genes. Predictions are other cells of the same perturbations whose effect
is partly right. Values are log1p of counts scaled to 10,000 per cell; files are h5ad with X as CSR in float32. The
prediction file holds the truth's own control cells too, as cell-eval wants it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import sparse_dataset, write_elem

CONTROL = "non-targeting"
COLUMN = "target"
CHUNK = 2_000
"""Cells drawn at a time."""
AFFECTED = 0.04
"""Share of genes that a perturbation changes."""
TARGET_SUM = 1e4


@dataclass(frozen=True)
class Case:
    """Size of a made-up screen.

    Parameters
    ----------
    name
        Name of its files and of its rows in the table.
    perturbations, cells, genes, controls
        Number of perturbations, cells of each, genes, and control cells.
    density
        Expected share of values that are not zero.
    seed
        Seed of everything drawn.
    """

    name: str
    perturbations: int
    cells: int
    genes: int
    controls: int
    density: float = 0.2
    seed: int = 0


A = Case("A", 100, 100, 2_000, 100)
CASES = {
    case.name: case
    for case in (
        A,
        Case("B", 200, 200, 5_000, 200),
        replace(A, name="C", controls=5_000),
        Case("large", 2_000, 100, 5_000, 1_000, density=0.1),
        Case("tiny", 5, 20, 200, 40),
    )
}
SCALING = tuple(
    replace(A, name=f"{what}{value}", **{what: value})
    for what, values in {
        "cells": (50, 200, 400),
        "genes": (1_000, 4_000, 8_000),
        "perturbations": (50, 200, 400),
    }.items()
    for value in values
)
"""Variations of A in one size at a time, for the curves of cost."""


def write_case(case: Case, folder: Path) -> tuple[Path, Path]:
    """Write truth and prediction of a case.

    Parameters
    ----------
    case
        Size and seed.
    folder
        Where the files go; files that are there already are used again.

    Returns
    -------
    Path, Path
        The truth and the prediction.
    """
    paths = folder / f"{case.name}_truth.h5ad", folder / f"{case.name}_prediction.h5ad"
    folder.mkdir(parents=True, exist_ok=True)
    for path, predicted in zip(paths, (False, True), strict=True):
        if not path.is_file():
            part = path.with_suffix(".part")
            _write(part, case, _chunks(case, predicted=predicted))
            part.rename(path)
    return paths


def _chunks(case: Case, *, predicted: bool) -> Iterator[sp.csr_matrix]:
    """Draw the cells of one file: controls first, then perturbation by perturbation."""
    base, effects = _rates(case, "truth")
    if predicted:
        noise = _rates(case, "prediction")[1]
        effects = np.where(np.arange(case.genes) % 3 == 0, noise, effects)  # two genes in three are predicted right
    for first in range(0, case.controls, CHUNK):
        yield _draw(case, base, min(CHUNK, case.controls - first), "control", first)
    for number in range(case.perturbations):
        yield _draw(case, base * np.exp(effects[number]), case.cells, "prediction" if predicted else "truth", number)


def _rates(case: Case, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Rates of an unperturbed cell [gene] and logarithms of what perturbations multiply them by [perturbation, gene]."""
    base = np.exp(_generator(case, "rates").normal(0.0, 1.5, case.genes))
    low, high = 1e-6, 1e3
    for _ in range(60):  # scale the rates until the expected share of values above zero is the stated one
        middle = np.sqrt(low * high)
        low, high = (middle, high) if (1 - np.exp(-middle * base)).mean() < case.density else (low, middle)
    generator = _generator(case, "effects", purpose)
    shape = (case.perturbations, case.genes)
    affected = generator.random(shape, dtype=np.float32) < AFFECTED
    effects = np.where(affected, generator.standard_normal(shape, dtype=np.float32), np.float32(0))
    measured = np.arange(min(case.perturbations, case.genes))
    effects[measured, measured] = -2.0  # the perturbed gene itself is knocked down
    return np.sqrt(low * high) * base, effects


def _draw(case: Case, rates: np.ndarray, n: int, *purpose: object) -> sp.csr_matrix:
    """Draw n cells in log1p of counts scaled to 10,000."""
    generator = _generator(case, "cells", *purpose)
    depth = np.exp(generator.normal(0.0, 0.2, (n, 1)))
    counts = sp.csr_matrix(generator.poisson(depth * rates).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1)).ravel()
    counts.data *= np.repeat(TARGET_SUM / totals, np.diff(counts.indptr)).astype(np.float32)
    return counts.log1p()


def _generator(case: Case, *purpose: object) -> np.random.Generator:
    return np.random.default_rng([case.seed, *"/".join(map(str, purpose)).encode()])


def _write(path: Path, case: Case, chunks: Iterator[sp.csr_matrix]) -> None:
    genes = np.array([f"G{i:05d}" for i in range(case.genes)])
    if case.perturbations > case.genes:
        raise ValueError(
            f"Case {case.name} has {case.perturbations} perturbations of {case.genes} genes; give more genes."
        )
    labels = np.repeat([CONTROL, *genes[: case.perturbations]], [case.controls, *[case.cells] * case.perturbations])
    names = [f"cell{i}" for i in range(len(labels))]
    with h5py.File(path, "w") as file:
        write_elem(file, "X", next(chunks))
        for chunk in chunks:
            sparse_dataset(file["X"]).append(chunk)
        write_elem(file, "obs", pd.DataFrame({COLUMN: pd.Categorical(labels)}, index=names))
        write_elem(file, "var", pd.DataFrame(index=genes))
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
