"""From AnnData to index arrays: genes, perturbations and (context, batch) pairs a model knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from jaxtyping import Float, Int

from cycseq.errors import DataError, UnknownBatch, UnknownContext, UnknownPerturbation

CONTROL = "control"
"""Label of unperturbed cells in `obs["perturbation"]`."""
NO_PERTURBATION = -1
"""Perturbation index of control cells."""


@dataclass(frozen=True)
class Cells:
    """Cells as arrays; indices point into a `Vocabulary`."""

    x: sp.csr_matrix
    """Expression [cell, gene], float32."""
    perturbation: Int[np.ndarray, " cell"]
    """Perturbation index, `NO_PERTURBATION` for controls."""
    batch: Int[np.ndarray, " cell"]
    """Index of the (context, batch) pair."""
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
    dosed: bool = False
    """Whether the target dose is an input."""

    @property
    def contexts(self) -> tuple[str, ...]:
        """Contexts, sorted."""
        return tuple(sorted({context for context, _ in self.batches}))

    def perturbation_index(self, name: str) -> int:
        """Index of a perturbation; raises `UnknownPerturbation`."""
        if name not in self.perturbations:
            raise UnknownPerturbation(name, self.perturbations)
        return self.perturbations.index(name)

    def batches_of(self, context: str) -> list[int]:
        """Indices of the batches of a context; empty if the context is unknown."""
        return [index for index, (name, _) in enumerate(self.batches) if name == context]


def from_adata(adata: AnnData) -> Vocabulary:
    """Collect the vocabulary of training cells.

    Raises
    ------
    DataError
        A column is missing, or there are no perturbed cells.
    """
    check_columns(adata, ("perturbation", "context", "batch"))
    perturbation = adata.obs["perturbation"].astype(str).to_numpy()
    perturbed = perturbation != CONTROL
    if not perturbed.any():
        raise DataError(f"All {len(perturbation)} cells are labelled '{CONTROL}'; expected perturbed cells as well.")
    batches = sorted(set(zip(adata.obs["context"].astype(str), adata.obs["batch"].astype(str), strict=True)))
    dosed = "dose" in adata.obs and bool(np.isfinite(_doses(adata)[perturbed]).any())
    return Vocabulary(
        tuple(map(str, adata.var_names)), tuple(sorted(set(perturbation[perturbed]))), tuple(batches), dosed
    )


def encode(adata: AnnData, vocabulary: Vocabulary) -> Cells:
    """Turn training cells into arrays.

    Raises
    ------
    UnknownPerturbation, UnknownContext, UnknownBatch
        A label the model was not pre-trained on.
    DataError
        Other genes, values that are not finite, or perturbed cells without a positive dose where doses are used.
    """
    check_columns(adata, ("perturbation", "context", "batch"))
    contexts = adata.obs["context"].astype(str).to_numpy()
    batches = adata.obs["batch"].astype(str).to_numpy()
    perturbation = adata.obs["perturbation"].astype(str).to_numpy()
    of_name = {CONTROL: NO_PERTURBATION} | {name: index for index, name in enumerate(vocabulary.perturbations)}
    of_pair = {pair: index for index, pair in enumerate(vocabulary.batches)}
    for name in sorted(set(perturbation) - set(of_name)):
        raise UnknownPerturbation(name, vocabulary.perturbations)
    for context, batch in sorted(set(zip(contexts, batches, strict=True)) - set(of_pair)):
        if context not in vocabulary.contexts:
            raise UnknownContext(context, vocabulary.contexts)
        raise UnknownBatch(batch, [name for known, name in vocabulary.batches if known == context])
    index = np.array([of_name[name] for name in perturbation], dtype=np.int64)
    pair = np.array([of_pair[item] for item in zip(contexts, batches, strict=True)], dtype=np.int64)
    return Cells(expression(adata, vocabulary.genes), index, pair, _log_doses(adata, index, vocabulary.dosed))


def expression(adata: AnnData, genes: Sequence[str]) -> sp.csr_matrix:
    """Read X as a float32 CSR matrix [cell, gene], after checking its genes and values.

    Raises
    ------
    DataError
        The genes or their order differ from `genes`, X is empty, or X has values that are not finite.
    """
    if tuple(map(str, adata.var_names)) != tuple(genes):
        shared = len(set(map(str, adata.var_names)) & set(genes))
        raise DataError(
            f"The cells have {adata.n_vars} genes, {shared} of them among the model's {len(genes)}; "
            "expected the same genes in the same order. Select them with adata[:, model.vocabulary.genes]."
        )
    if adata.n_obs == 0:
        raise DataError("There are no cells; expected at least one.")
    x = sp.csr_matrix(adata.X, dtype=np.float32)
    bad = int((~np.isfinite(x.data)).sum())
    if bad:
        raise DataError(f"X has {bad} NaN or infinite values; remove or impute them first.")
    return x


def check_columns(adata: AnnData, needed: Sequence[str]) -> None:
    """Raise `DataError` if obs lacks a needed column."""
    missing = [name for name in needed if name not in adata.obs]
    if missing:
        raise DataError(f"obs lacks the column(s) {', '.join(missing)}; it has {', '.join(adata.obs.columns)}.")


def _doses(adata: AnnData) -> Float[np.ndarray, " cell"]:
    return adata.obs["dose"].to_numpy(dtype=np.float64)


def _log_doses(adata: AnnData, perturbation: Int[np.ndarray, " cell"], dosed: bool) -> Float[np.ndarray, " cell"]:
    logs = np.zeros(len(perturbation), dtype=np.float32)
    if not dosed:
        return logs
    check_columns(adata, ("dose",))
    perturbed = perturbation != NO_PERTURBATION
    doses = _doses(adata)[perturbed]
    bad = int((~(np.isfinite(doses) & (doses > 0))).sum())
    if bad:
        raise DataError(
            f"{bad} perturbed cells have no positive dose, others have one; expected a dose in nM for "
            "each perturbed cell, or for none."
        )
    logs[perturbed] = np.log10(doses)
    return logs
