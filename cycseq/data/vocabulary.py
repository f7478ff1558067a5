"""From AnnData to index arrays: genes, perturbations and (context, batch) pairs a model knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Bool, Float, Int, Shaped

from cycseq.data.cell_reader import CellReader, Values, reader_of
from cycseq.errors import DataError, UnknownBatch, UnknownContext, UnknownPerturbation

CONTROL = "control"
"""Label of unperturbed cells in `obs["perturbation"]`."""
NO_PERTURBATION = -1
"""Perturbation index of control cells."""
LABELS = ("perturbation", "context", "batch")
"""Columns of obs that training reads."""
NO_LABEL = ("", "nan", "None", "<NA>", "NaT")
"""What missing labels look like once a column was turned into text."""


@dataclass(frozen=True)
class Cells:
    """Cells as arrays; indices point into a `Vocabulary`."""

    x: Values
    """Expression [cell, gene], which need not be in memory."""
    perturbation: Int[np.ndarray, " cell"]
    """`NO_PERTURBATION` for controls."""
    batch: Int[np.ndarray, " cell"]
    dose: Float[np.ndarray, " cell"]
    """log10 of the dose in nM; 0 for controls and where there are no doses."""


@dataclass(frozen=True)
class Vocabulary:
    """Names a model was trained on; position in a tuple is the index in its embedding table."""

    genes: tuple[str, ...]
    """Genes, in the order of the columns."""
    perturbations: tuple[str, ...]
    """Perturbations without "control"; a combination "A+B" is an entry of its own."""
    batches: tuple[tuple[str, str], ...]
    """(context, batch) pairs: the paper's b."""
    doses: tuple[float, float] | None = None
    """Lowest and highest dose of the training cells in nM; None without doses."""

    @property
    def dosed(self) -> bool:
        """Whether the target dose is an input."""
        return self.doses is not None

    @property
    def contexts(self) -> tuple[str, ...]:
        """Contexts, sorted."""
        return tuple(sorted({context for context, _ in self.batches}))

    @property
    def context_of_batch(self) -> Int[np.ndarray, " batch"]:
        """Index of each batch's context in `contexts`."""
        return np.array([self.contexts.index(context) for context, _ in self.batches])

    def batches_of(self, context: str) -> list[int]:
        """Indices of the batches of a context; empty if the context is unknown."""
        return [index for index, (name, _) in enumerate(self.batches) if name == context]


def from_adata(adata: AnnData | CellReader) -> Vocabulary:
    """Collect the vocabulary of training cells.

    Raises `DataError` if a column or a label is missing, a gene is there twice, one perturbation or context is written in
    two ways, doses are not numbers, or there are no perturbed cells.
    """
    cells = reader_of(adata)
    n_cells, n_genes = Values(cells).shape
    if n_cells == 0 or n_genes == 0:
        raise DataError(f"The cells are {n_cells} × {n_genes} genes; expected at least one of each.")
    _check_unique(cells.genes)
    perturbation, contexts, batch_names = (labels(cells, name) for name in LABELS)
    _check_spellings("perturbation", {CONTROL, *perturbation})
    _check_spellings("context", set(contexts))
    perturbed = perturbation != CONTROL
    if not perturbed.any():
        raise DataError(f"All {n_cells} cells are labelled '{CONTROL}'; expected perturbed cells as well.")
    given = doses(cells)[perturbed] if "dose" in cells.obs else np.array([])
    given = given[~np.isnan(given)]
    return Vocabulary(
        tuple(cells.genes),
        tuple(sorted(set(perturbation[perturbed]))),
        tuple(sorted(set(zip(contexts, batch_names, strict=True)))),
        (float(given.min()), float(given.max())) if len(given) else None,
    )


def encode(adata: AnnData | CellReader, vocabulary: Vocabulary) -> Cells:
    """Turn labels of training cells into arrays; values are read later.

    Raises `UnknownPerturbation`, `UnknownContext` or `UnknownBatch` for a label the model was not pre-trained on, and
    `DataError` for other genes, no cells, or perturbed cells without a positive dose where doses are used.
    """
    cells = reader_of(adata)
    perturbation, contexts, batches = (labels(cells, name) for name in LABELS)
    of_name = {CONTROL: NO_PERTURBATION} | {name: index for index, name in enumerate(vocabulary.perturbations)}
    of_pair = {pair: index for index, pair in enumerate(vocabulary.batches)}
    pairs = list(zip(contexts, batches, strict=True))
    for name in sorted(set(perturbation) - set(of_name)):
        remedy = "Pre-train with cells of it, or leave them out of fine-tuning."
        raise UnknownPerturbation(name, vocabulary.perturbations, remedy)
    for context, batch in sorted(set(pairs) - set(of_pair)):
        if context not in vocabulary.contexts:
            raise UnknownContext(context, vocabulary.contexts)
        raise UnknownBatch(batch, [name for known, name in vocabulary.batches if known == context])
    index = np.array([of_name[name] for name in perturbation], dtype=np.int64)
    pair = np.array([of_pair[item] for item in pairs], dtype=np.int64)
    logs = np.zeros(len(index), dtype=np.float32)
    if vocabulary.dosed:
        perturbed = index != NO_PERTURBATION
        given = doses(cells)[perturbed]
        bad = int((~(np.isfinite(given) & (given > 0))).sum())
        if bad:
            raise DataError(f"{bad} perturbed cells have no positive dose; expected a dose in nM for all or for none.")
        logs[perturbed] = np.log10(given)
    return Cells(expression(cells, vocabulary.genes), index, pair, logs)


def expression(adata: AnnData | CellReader, genes: Sequence[str]) -> Values:
    """Make the expression of cells readable; raises `DataError` for other genes or no cells."""
    cells = reader_of(adata)
    given = list(cells.genes)
    _check_unique(given)
    lacking = sorted(set(genes) - set(given))
    if lacking:
        raise DataError(
            f"The cells lack {len(lacking)} of the model's {len(genes)} genes: {_some(lacking)}. Train on genes that all your "
            "cells have."
        )
    if given != list(genes):
        what = "in another order" if len(given) == len(genes) else f"among {len(given)} columns"
        raise DataError(
            f"The model's {len(genes)} genes are there, {what}; expected the same genes in the same order. "
            "Select them: adata[:, list(model.vocabulary.genes)]."
        )
    if not len(cells.obs):
        raise DataError("There are no cells; expected at least one. Look at how they were selected.")
    return Values(cells)


def labels(adata: AnnData | CellReader, name: str) -> Shaped[np.ndarray, " cell"]:
    """Read a column of labels as text; raises `DataError` if the column or a label is missing."""
    column = _column(adata, name)
    text = column.astype(str).to_numpy(dtype=object)
    missing = int((column.isna().to_numpy() | np.isin([name.strip() for name in text], NO_LABEL)).sum())
    if missing:
        raise DataError(
            f"obs['{name}'] has no label for {missing} of {len(text)} cells. Fill the column, or leave these cells out."
        )
    return text


def doses(adata: AnnData | CellReader) -> Float[np.ndarray, " cell"]:
    """Read the doses in nM, NaN where there is none; raises `DataError` if one is not a number."""
    column = _column(adata, "dose")
    numbers = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(np.isnan(numbers) & ~column.isna().to_numpy())
    if len(bad):
        raise DataError(
            f"obs['dose'] has {len(bad)} values that are no numbers, such as {column.iloc[bad[0]]!r}; expected doses in nM."
        )
    return numbers


def cells_of_contexts(adata: AnnData | CellReader) -> dict[str, str]:
    """Hash the names of each context's cells in their order."""
    found: dict[str, Any] = defaultdict(sha256)
    for name, context in zip(map(str, adata.obs.index), labels(adata, "context"), strict=True):
        found[str(context)].update(f"{name}\n".encode())
    return {context: digest.hexdigest() for context, digest in found.items()}


def lone_cells(adata: AnnData | CellReader) -> Bool[np.ndarray, " cell"]:
    """Mark cells that are the only one of their (context, batch), perturbation and dose.

    A draw of such a condition is the one cell, whatever c_s; training refuses it. `adata[~lone_cells(adata)]` leaves
    them out. Raises `DataError` if a column or a label is missing.
    """
    cells = reader_of(adata)
    table = pd.DataFrame({name: labels(cells, name) for name in LABELS})
    table["dose"] = doses(cells) if "dose" in cells.obs else 0.0
    table.loc[table["perturbation"] == CONTROL, "dose"] = 0.0  # as in training, where a control has none
    return (table.groupby([*LABELS, "dose"], dropna=False)["batch"].transform("size") == 1).to_numpy()


def same_parts(one: str, other: str) -> bool:
    """Whether two names are one perturbation, or one combination with its parts in another order."""
    return one == other or sorted(one.split("+")) == sorted(other.split("+"))


def _column(adata: AnnData | CellReader, name: str) -> pd.Series:
    if name not in adata.obs:
        raise DataError(f"obs lacks the column(s) {name}; it has {', '.join(adata.obs.columns) or 'none'}.")
    return adata.obs[name]


def _check_spellings(column: str, names: set[str]) -> None:
    """Refuse names that differ in nothing but case, spaces around them, or the order of a combination's parts."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(names):
        alike[tuple(sorted(part.strip().casefold() for part in name.split("+")))].append(name)
    twice = [own for own in alike.values() if len(own) > 1]
    if twice:
        raise DataError(
            f"obs['{column}'] has one name in several spellings: {' and '.join(map(repr, twice[0]))}"
            f"{f' (and {len(twice) - 1} more)' if len(twice) > 1 else ''}; expected one spelling. Rename them."
        )


def _check_unique(genes: Sequence[str]) -> None:
    names = pd.Index(genes)
    twice = list(names[names.duplicated()].unique())
    if twice:
        raise DataError(
            f"{len(twice)} genes are there more than once: {_some(twice)}; expected one column per gene. Keep one, "
            "adata[:, ~adata.var_names.duplicated()], or rename them, adata.var_names_make_unique()."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
