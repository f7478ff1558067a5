"""Differential expression: genes that change significantly, in truth and prediction.

The truth's cells and the predicted cells are tested against the same reference cells, so that no model can gain by
predicting its own controls. The perturbed gene is not among the genes that the ranked metrics test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from benchmarks.scoring.metrics.change import on_genes, spearman_delta
from benchmarks.scoring.metrics.metric import Array, GeneMask, Metric, PerCondition, PerGene
from benchmarks.scoring.metrics.profile import FLAT
from benchmarks.scoring.metrics.rank_sum import SortedCells, rank_sum

FDR = 0.05
"""A gene is significant where its Benjamini–Hochberg adjusted p value lies below this."""


@dataclass(frozen=True)
class Tests:
    """Test results of every gene, of one set of cells against its reference; made by `test_genes`."""

    p: Float[Array, "gene"]
    """Two-sided p value of the rank-sum test, not adjusted."""
    lfc: Float[Array, "gene"]
    """log2 fold change of the mean of linear values, or difference of means where there are no linear values."""

    def significant(self, left_out: Int[Array, "k"] | None = None) -> Bool[Array, "gene"]:
        """Mark the genes whose adjusted p value lies below `FDR`; those left out are not tested, so never significant.

        A perturbed gene is left out because its name says that it changes; among the tests it would move the threshold of
        the others too.
        """
        if left_out is None or not len(left_out):
            return adjusted(self.p) < FDR
        found = np.zeros(len(self.p), dtype=bool)
        tested = np.delete(np.arange(len(self.p)), left_out)
        found[tested] = adjusted(self.p[tested]) < FDR
        return found


def linear_mean(cells: SortedCells) -> Float[Array, "gene"]:
    """Mean over cells of 2^x − 1, where x is log2(linear + 1); a negative x counts as 0.

    The unit is that of the linear values: CP10k for "log2_cp10k", counts for "log2_raw".
    """
    from benchmarks.scoring.metrics.compiled import linear_sums

    return linear_sums(cells) / cells.n_cells


def test_genes(
    cells: SortedCells,
    reference: SortedCells,
    mean: Float[Array, "gene"],
    reference_mean: Float[Array, "gene"],
    *,
    linear: bool = True,  # noqa: PT028 (not a pytest test)
) -> Tests:
    """Test every gene for a difference between two sets of cells.

    The fold change is log2((mean + 1) / (reference_mean + 1)) of both sides' `linear_mean`; where the space has no linear
    values ("zscore", not `linear`), it is the difference of the mean profiles, which are given instead. Raises ValueError
    where the sides do not have the same genes.
    """
    return Tests(rank_sum(cells, reference), change_of(mean, reference_mean, linear=linear))


def change_of(
    mean: Float[Array, "gene"], reference_mean: Float[Array, "gene"], *, linear: bool
) -> Float[Array, "gene"]:
    """Give the change of every gene, see `test_genes`."""
    return np.log2((mean + 1) / (reference_mean + 1)) if linear else mean - reference_mean


def adjusted(p: Float[Array, "gene"]) -> Float[Array, "gene"]:
    """p values adjusted for the false discovery rate by Benjamini and Hochberg's step-up method.

    Equal to SciPy's `false_discovery_control` up to rounding; importing that takes as long as scoring a small file.

    Source: Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    n = len(p)
    order = np.argsort(p)[::-1]
    stepped = np.minimum.accumulate(p[order] * n / np.arange(n, 0, -1))
    values = np.empty(n)
    values[order] = np.minimum(stepped, 1.0)
    return values


def des(significant: GeneMask, significant_hat: GeneMask, lfc_hat: PerGene) -> PerCondition:
    """Share of the n truth-significant genes among the n predicted-significant ones of largest |log2 FC|.

    Fewer than n predicted genes are all taken. Genes with the same |log2 FC| (within 1e-6) as the n-th share the places that
    are left evenly, so that the order of the genes plays no part. NaN where the truth has no significant gene.
    """
    n = np.asarray(significant).sum(axis=-1)
    size = np.where(significant_hat, np.abs(lfc_hat), -1.0)
    nth = np.take_along_axis(-np.sort(-size, axis=-1), np.maximum(n - 1, 0)[:, None], axis=-1)
    above = (size > nth + FLAT) & significant_hat
    level = (np.abs(size - nth) <= FLAT) & significant_hat
    share = (n - above.sum(axis=-1)) / np.maximum(level.sum(axis=-1), 1)
    found = (above & significant).sum(axis=-1) + np.minimum(share, 1.0) * (level & significant).sum(axis=-1)
    return np.where(n > 0, found / np.maximum(n, 1), np.nan)


def de_jaccard(significant: GeneMask, significant_hat: GeneMask) -> PerCondition:
    """Genes significant in truth and prediction, as a share of those significant in either.

    NaN where the truth has no significant gene.
    """
    both = (significant & significant_hat).sum(axis=-1)
    either = (significant | significant_hat).sum(axis=-1)
    return np.where(np.any(significant, axis=-1), both / np.maximum(either, 1), np.nan)


def de_auroc(significant: GeneMask, p_hat: PerGene, other_genes: GeneMask | None = None) -> PerCondition:
    """Area under the ROC curve: truth-significant genes found by the prediction's −log10 p; 0.5 is chance.

    Over `other_genes`, if given. Ties count half. NaN where no gene, or every gene, is truth-significant.
    """
    values = np.full(len(significant), np.nan)
    for row, (truth, p) in enumerate(_tested(significant, p_hat, other_genes)):
        called, hits = _called(truth, p)
        misses = called - hits
        if hits[-1:].any() and misses[-1]:
            steps = np.diff(misses, prepend=0) * (hits + np.concatenate([[0], hits[:-1]])) / 2
            values[row] = steps.sum() / (hits[-1] * misses[-1])
    return values


def de_auprc(significant: GeneMask, p_hat: PerGene, other_genes: GeneMask | None = None) -> PerCondition:
    """Average precision: truth-significant genes found by the prediction's −log10 p; chance is their share of all genes.

    Σ (recall_k − recall_{k−1}) precision_k over the distinct p values of `other_genes`, or of all genes. NaN where no gene
    is truth-significant.
    """
    values = np.full(len(significant), np.nan)
    for row, (truth, p) in enumerate(_tested(significant, p_hat, other_genes)):
        called, hits = _called(truth, p)
        if hits[-1:].any():
            values[row] = (np.diff(hits, prepend=0) * hits / called).sum() / hits[-1]
    return values


def de_lfc_spearman(significant: GeneMask, lfc: PerGene, lfc_hat: PerGene) -> PerCondition:
    """Spearman correlation of true and predicted log2 FC over the truth-significant genes.

    Constant on either side: 0. NaN where fewer than two genes are truth-significant.
    """
    return on_genes(spearman_delta, lfc, lfc_hat, significant)


def _tested(significant: GeneMask, p_hat: PerGene, other_genes: GeneMask | None) -> Iterator[tuple[Array, Array]]:
    """Yield a condition's genes that count: whether the truth changes them, and the prediction's p values."""
    if other_genes is None:
        yield from zip(significant, p_hat, strict=True)
    else:
        yield from ((truth[own], p[own]) for truth, p, own in zip(significant, p_hat, other_genes, strict=True))


def _called(truth: Bool[Array, "gene"], p: Float[Array, "gene"]) -> tuple[Array, Array]:
    """Genes called, and truth-significant genes among them, as the threshold passes each distinct p value upwards.

    Ordering by p itself is ordering by −log10 p, and a p value of 0 needs no care.
    """
    order = np.argsort(p)
    last = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1) if len(p) else order
    return last + 1, np.cumsum(truth[order])[last]


_expression = partial(Metric, family="expression", best=1.0, undefined="too_few_genes")
METRICS = (
    _expression(des, source="Virtual Cell Challenge 2025"),
    _expression(de_jaccard),
    _expression(de_auroc),
    _expression(de_auprc),
    _expression(de_lfc_spearman),
)
