"""Cells of several data sets on the same genes: names harmonised, repeated genes summed, genes shared by all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.data.gene_names import GeneTable, resolve
from benchmarks.data.schema import condition_name
from benchmarks.errors import DataError


@dataclass(frozen=True)
class Harmonised:
    """How the genes of one data set become genes of approved names; applied to its cells block by block."""

    given: tuple[str, ...]
    genes: tuple[str, ...]
    """Names afterwards, in the order in which each occurs first."""
    table: pd.DataFrame
    """One row a given gene: `resolve`'s columns, and `merged`, whether other genes had the same name afterwards."""

    @property
    def report(self) -> pd.Series:
        """Count what happened: genes given and left, and how each name was found; no cell or count is lost."""
        merged = int(self.table["merged"].sum())
        return pd.concat(
            [
                pd.Series({"given": len(self.given), "left": len(self.genes), "merged": merged}),
                self.table["how"].value_counts().sort_index(),
            ]
        ).rename("genes")

    @cached_property
    def _sums(self) -> sp.csr_matrix:
        """Indicator [given gene, gene]."""
        place = {gene: i for i, gene in enumerate(self.genes)}
        columns = [place[name] for name in self.table["name"]]
        ones = np.ones(len(columns), dtype=np.float32)
        return sp.csr_matrix((ones, (np.arange(len(columns)), columns)), shape=(len(columns), len(self.genes)))

    def apply(self, cells: AnnData, space: str) -> AnnData:
        """Rename genes and sum repeated ones.

        Parameters
        ----------
        cells
            A block of cells [cell, gene] with the given genes in the given order.
        space
            "counts": counts are summed; "ln" and "log2": the values behind the logarithms are; "zscore": z-scores of
            two genes have no sum, so repeated genes are an error.

        Raises
        ------
        DataError
            Other genes than those that were harmonised, or z-scores of repeated genes.
        """
        if tuple(map(str, cells.var_names)) != self.given:
            raise DataError("These cells do not have the genes that were harmonised, in the same order.")
        x = sp.csr_matrix(cells.X)
        repeated = np.asarray(self._sums.sum(axis=0)).ravel() > 1
        if space == "zscore" and repeated.any():
            first = self.genes[int(np.flatnonzero(repeated)[0])]
            raise DataError(
                f"{int(repeated.sum())} genes, such as {first}, occur under several names, and z-scores cannot be "
                "summed; harmonise the counts, or drop all but one name of each gene in read.py."
            )
        summed = x @ self._sums
        if space in ("ln", "log2") and repeated.any():
            summed = _sum_behind_logarithms(x, summed, self._sums, repeated, 1.0 if space == "ln" else math.log(2))
        return AnnData(X=summed.tocsr(), obs=cells.obs, var=pd.DataFrame(index=list(self.genes)))


def harmonise(names: Sequence[str], table: GeneTable) -> Harmonised:
    """Lay out how genes of these names become genes of approved names; ambiguous and unknown names stay as they are."""
    found = resolve(names, table)
    found["merged"] = found["name"].duplicated(keep=False)
    return Harmonised(tuple(map(str, names)), tuple(dict.fromkeys(found["name"])), found)


def rename_perturbations(labels: Iterable[str], table: GeneTable) -> dict[str, str]:
    """Map perturbation labels of genes to approved symbols, combinations part by part; "control" stays."""

    def approved(label: str) -> str:
        if label == CONTROL:
            return label
        return condition_name("+".join(resolve(label.split("+"), table)["name"]))

    return {label: approved(label) for label in sorted(set(map(str, labels)))}


def intersect(genes: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Find the genes that all data sets have.

    Parameters
    ----------
    genes
        Data set → its genes, harmonised.

    Returns
    -------
    tuple of str, pd.DataFrame
        The shared genes, in the first data set's order; and a table indexed by data set: genes `given`, `shared`, `lost`
        and `only_here`, those that all other data sets share and this one lacks (what taking it along costs).

    Raises
    ------
    DataError
        No data sets, a gene twice in one of them, or no gene in all of them.
    """
    sets = {name: set(own) for name, own in genes.items()}
    for name, own in genes.items():
        if len(sets[name]) < len(own):
            raise DataError(f"{name} has {len(own) - len(sets[name])} genes twice; harmonise its names first.")
    shared = set.intersection(*sets.values()) if sets else set()
    if not shared:
        sizes = ", ".join(f"{name} ({len(own)})" for name, own in sets.items()) or "none"
        raise DataError(
            f"No gene is in all of these data sets: {sizes}. Are some named by Ensembl id, or of another species? "
            "Harmonise the names first."
        )
    rows = {}
    for name, here in sets.items():
        others = [s for other, s in sets.items() if other != name]
        without = len(set.intersection(*others)) if others else len(here)
        rows[name] = {"given": len(here), "lost": len(here) - len(shared), "costs": without - len(shared)}
    first = next(iter(genes.values()))
    table = pd.DataFrame.from_dict(rows, orient="index").assign(shared=len(shared))
    return tuple(g for g in first if g in shared), table


def choose_genes(cells: AnnData, genes: Sequence[str]) -> AnnData:
    """Keep these genes of a block of cells, in this order; raises `DataError` for one that it lacks."""
    place = cells.var_names.get_indexer(list(genes))
    if (place < 0).any():
        missing = genes[int(np.flatnonzero(place < 0)[0])]
        raise DataError(f"{int((place < 0).sum())} genes are not among the cells' {cells.n_vars}, such as {missing}.")
    return AnnData(X=sp.csr_matrix(cells.X)[:, place], obs=cells.obs, var=pd.DataFrame(index=list(genes)))


def measured(obs: pd.DataFrame, genes: Iterable[str]) -> np.ndarray:
    """Find the cells whose perturbed genes are all measured, and controls: the filter g_k ∩ g_i of section 2.2.

    It is off unless asked for: a perturbation can be predicted whether or not its own gene is measured.

    Parameters
    ----------
    obs
        Canonical obs.
    genes
        The genes measured.

    Returns
    -------
    numpy.ndarray
        Mask [cell].

    Raises
    ------
    DataError
        No perturbed cell is left.
    """
    known = set(genes)
    labels = obs["perturbation"].astype(str)
    kept = {p for p in labels.unique() if p == CONTROL or known.issuperset(p.split("+"))}
    if not kept - {CONTROL}:
        n = labels[labels != CONTROL].nunique()
        raise DataError(
            f"None of the {n} perturbations is of measured genes only, so the filter leaves nothing to predict; leave it "
            "off (it is for reproducing the paper)."
        )
    return labels.isin(kept).to_numpy()


def _sum_behind_logarithms(
    x: Any, summed: sp.csr_matrix, indicator: sp.csr_matrix, repeated: np.ndarray, base: float
) -> sp.csr_matrix:
    """Replace the sums of repeated genes by log(1 + Σ (e^x − 1)); the others are left to the last bit."""
    linear = x.astype(np.float64)
    linear.data = np.expm1(linear.data * base)
    columns = np.flatnonzero(repeated)
    fixed = (linear @ indicator[:, columns].astype(np.float64)).tocsr()
    fixed.data = np.log1p(fixed.data) / base
    back = sp.csr_matrix(
        (np.ones(len(columns)), (np.arange(len(columns)), columns)), shape=(len(columns), len(repeated))
    )
    keep = sp.diags((~repeated).astype(x.dtype))
    return (summed @ keep + (fixed @ back).astype(x.dtype)).tocsr()
