"""The input-copy audit ("triangular validation", the CycSeq paper's Figure 3): is the output nearer to target or input?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.scoring.metrics.metric import PAIR, Array, Metric, PerCondition, PerGene, Quantity
from benchmarks.scoring.metrics.profile import FLAT, r2, r2_pearson
from benchmarks.scoring.metrics.rank_sum import Cells

HALVES = 200
"""Random halvings of the truth from which the interval of an honest margin is estimated."""
BLOCK = 1 << 21
"""Values that are held in float64 at a time."""


def copy_margin(truth: PerGene, predicted: PerGene, reference: PerGene) -> PerCondition:
    """sim(target, output) − sim(reference, output), sim being the squared Pearson correlation of mean profiles.

    Negative: the output is nearer to the state that was started from than to the target. The reference has other cells of
    that state than the input: an output made as input + change carries the input's own noise, and would lie nearer to the
    input than to anything else, whatever the change.
    """
    return r2_pearson(truth, predicted) - r2_pearson(reference, predicted)


def copies_input(truth: PerGene, predicted: PerGene, reference: PerGene, margin_bound: PerCondition) -> PerCondition:
    """Flag, 1 where the copy margin lies below what real cells of the condition reach (95 % interval), else 0."""
    return (copy_margin(truth, predicted, reference) < margin_bound).astype(np.float64)


class MarginBounds(NamedTuple):
    """Lower 95 % bound (2.5th percentile) of the copy margin of real cells of a condition."""

    whole: float
    """When they are compared with all true cells, as predictions are."""
    half: float
    """When they are compared with half of the true cells, as other real cells are."""


class MarginSums(NamedTuple):
    """Sums over random halves of a set of cells, from which `honest_margin` is computed for any reference."""

    rows: Float[Array, "row gene"]
    """Rows whose sums are all profiles: the cells, or, where these are many, the first halves' sums and the sum of all cells;
    each cell less its mean over genes."""
    halves: Float[Array, "half row"]
    """Which rows sum to the first half of each halving."""
    whole: Float[Array, "row"]
    """Which rows sum to all cells."""
    products: Float[Array, "row row"]
    """Products of the rows with each other."""
    squares: float
    """Sum of squares of all cells."""
    n: int
    """Number of cells."""


def margin_sums(cells: Cells, generator: np.random.Generator) -> MarginSums:
    """Halve a set of two cells or more at random, `HALVES` times; dense or sparse cells (made dense some genes at a time)."""
    n, n_genes = cells.shape
    half = n // 2
    order = np.argsort(generator.random((HALVES, n)), axis=1)
    first = np.zeros((HALVES, n))
    np.put_along_axis(first, order[:, :half], 1.0, axis=1)
    many = n > HALVES
    sums = np.vstack([first, np.ones(n)])
    rows = np.empty((len(sums) if many else n, n_genes))
    products, squares = np.zeros((len(rows), len(rows))), 0.0
    for genes, block in _gene_blocks(cells):
        rows[:, genes] = sums @ block if many else block
        products += rows[:, genes] @ rows[:, genes].T
        squares += float(np.vdot(block, block))
    halves, whole = (np.eye(HALVES, HALVES + 1), np.eye(HALVES + 1)[-1]) if many else (first, np.ones(n))
    return MarginSums(rows, halves, whole, products, squares, n)


def honest_margin(sums: MarginSums, reference: Float[Array, "gene"]) -> MarginBounds:
    """Estimate how low the copy margin of real cells of the condition can be, from the sums of its true cells.

    One half of the truth's cells plays the prediction, the disjoint other half the truth; a prediction is flagged as a
    copy only when its margin lies below this. A weak perturbation's own cells lie as near to the start as to the target.
    Half of the cells are a noisier target than all of them, and less like any prediction; for `whole` the similarity to the
    target is divided by what the noise of the missing cells takes from it. `reference` is a mean profile.
    """
    rows, halves, whole, products, squares, n = sums
    half, n_genes = n // 2, rows.shape[1]
    others = np.asarray(reference, dtype=np.float64) - np.mean(reference, dtype=np.float64)
    by_half = halves @ products
    output = np.einsum("hr,hr->h", by_half, halves)
    output_whole = by_half @ whole
    target = whole @ products @ whole - 2 * output_whole + output  # what is not in the first half is in the second
    with_target = _r2((output_whole - output) / half / (n - half), output / half**2, target / (n - half) ** 2, n_genes)
    # Σ over genes of the target's squares, and of the share of it that all cells would not have had as noise
    spread, noise = target / (n - half) ** 2, (squares - whole @ products @ whole / n) / (n - 1)
    excess = np.minimum(noise / (n - half) - noise / n, spread * (1 - FLAT))
    with_all = np.minimum(with_target * np.divide(spread, spread - excess, out=np.ones(HALVES), where=spread > 0), 1.0)
    with_others = _r2(halves @ (rows @ others) / half, output / half**2, np.asarray(np.square(others).sum()), n_genes)
    return MarginBounds(*(float(np.quantile(s - with_others, 0.025)) for s in (with_all, with_target)))


def _gene_blocks(cells: Cells) -> Iterator[tuple[slice, Array]]:
    """Yield genes and their columns, some genes at a time, in float64 and less each cell's mean over all genes."""
    from scipy.sparse import issparse

    n, n_genes = cells.shape
    step = max(1, BLOCK // max(n, HALVES))
    exact = cells.astype(np.float64) if issparse(cells) else cells  # SciPy sums in a matrix's own type
    level = np.asarray(exact.mean(axis=1, dtype=np.float64)).reshape(n, 1)
    columns = cells.tocsc() if issparse(cells) and step < n_genes else cells
    for first in range(0, n_genes, step):
        genes = slice(first, first + step)
        block = columns[:, genes]
        yield genes, (block.toarray() if issparse(block) else block) - level


def _r2(shared: Array, one: Array, other: Array, n_genes: int) -> Array:
    """Squared correlation from sums of centred products and squares; 0 where a side is constant."""
    flat = np.minimum(one, other) <= n_genes * FLAT**2 / 4  # what a spread of FLAT over genes comes to at most
    return np.where(flat, 0.0, np.minimum(np.square(shared) / np.where(flat, 1.0, one * other), 1.0))


_SIDES: dict[str, tuple[tuple[Quantity, Quantity], str]] = {
    "tp": (PAIR, "target and output"),
    "ip": (("start", "predicted"), "input and output"),
    "it": (("start", "truth"), "input and target"),
}
_audit = partial(Metric, family="audit", scored=False, source="CycSeq (IJCAI 2025), Figure 3")
METRICS = (
    _audit(copy_margin, best=None),
    _audit(copies_input, best=0.0, higher_is_better=False),
    *(
        _audit(
            function,
            name=f"sim_{side}{suffix}",
            needs=needs,
            best=1.0 if side == "tp" else None,
            summary=f"Similarity of {names}: {kind} of their mean profiles, the first as reference.",
        )
        for suffix, function, kind in (
            ("", r2_pearson, "squared Pearson correlation"),
            ("_r2", r2, "coefficient of determination"),
        )
        for side, (needs, names) in _SIDES.items()
    ),
)
