"""Distances between predicted and true cells as populations.

`e_distance` and `mmd_rbf` are measured in the principal components of the TRAINING cells, `wasserstein` gene by gene. Their
size depends on the number of cells, so both sides should have equally many. The perturbed gene is left out of all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from benchmarks.scoring.metrics.metric import OWN_DEFINITION, Array, Metric, Quantity, first_line
from benchmarks.scoring.metrics.rank_sum import SortedCells, check_genes

N_COMPONENTS = 50
"""Principal components of the TRAINING cells that distances are measured in."""
BLOCK = 1024
"""Cells a side of the largest matrix of distances held at a time."""


def e_distance(
    truth: Float[Array, "cell component"], predicted: Float[Array, "cell2 component"], truth_within: float | None = None
) -> float:
    """Energy distance between true and predicted cells in the space of the training cells' principal components.

    U-statistic 2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ with n (n − 1) in the within terms and Euclidean norms (not squared):
    0 in expectation for equal distributions, so slightly negative values are noise.
    `truth_within` is `distance_within(truth)`, where it is known already. Each side has two cells or more.
    """
    within = distance_within(truth) if truth_within is None else truth_within
    (across,) = _means(_across(truth, predicted), _root)
    return 2 * across - within - distance_within(predicted)


def distance_within(cells: Float[Array, "cell component"]) -> float:
    """Mean Euclidean distance between two different cells of a set."""
    return _means(_within(cells), _root)[0]


def mmd_rbf(truth: Float[Array, "cell component"], predicted: Float[Array, "cell2 component"], sigma: float) -> float:
    """Squared maximum mean discrepancy between true and predicted cells with a Gaussian kernel, unbiased.

    Kernel exp(−‖x − y‖² / 2σ²) in the space of the training cells' principal components; U-statistic, 0 in expectation
    for equal distributions, so slightly negative values are noise.
    The width `sigma` is from `bandwidth`, the same for every model. Each side has two cells or more.
    """
    return e_distance_and_mmd(truth, predicted, sigma)[1]


def e_distance_and_mmd(
    truth: Float[Array, "cell component"], predicted: Float[Array, "cell2 component"], sigma: float
) -> tuple[float, float]:
    """Compute `e_distance` and `mmd_rbf` from the same distances between cells."""
    of = _root, partial(_kernel, sigma=sigma)
    pairs = _within(truth), _within(predicted), _across(truth, predicted)
    (one, kernel_one), (other, kernel_other), (across, kernel_across) = (_means(blocks, *of) for blocks in pairs)
    return 2 * across - one - other, kernel_one + kernel_other - 2 * kernel_across


def bandwidth(truth: Float[Array, "cell component"], reference: Float[Array, "cell2 component"]) -> float:
    """Width of the kernel of `mmd_rbf`: the median distance between two different cells of truth and reference pooled.

    It does not depend on any model. Where more than half of the pairs coincide it is the mean distance, and 1 where all do.
    The sides have equally many cells, or the larger one decides.
    """
    cells = np.concatenate([truth, reference]).astype(np.float64)
    median = float(np.median(np.sqrt(np.concatenate(list(_within(cells))))))
    return median or distance_within(cells) or 1.0


def wasserstein(truth: SortedCells, predicted: SortedCells, left_out: Int[Array, "k"] | None = None) -> float:
    """Mean over genes of the one-dimensional Wasserstein-1 distance between true and predicted cells.

    In the units of the expression space. Every gene counts alike, those left out not at all; the correlation between genes
    is ignored. Raises ValueError where the sides differ in cells or genes.
    """
    from benchmarks.scoring.metrics.compiled import sum_gaps

    check_genes(truth, predicted)
    if truth.n_cells != predicted.n_cells:
        raise ValueError(f"wasserstein got {truth.n_cells} and {predicted.n_cells} cells; expected equally many.")
    sums = sum_gaps(truth, predicted)
    return float((sums if left_out is None else np.delete(sums, left_out)).mean() / truth.n_cells)


def _across(x: Array, y: Array) -> Iterator[Array]:
    """Squared distances between every cell of x and every cell of y, block by block."""
    for one in _blocks(x):
        for other in _blocks(y):
            yield _squared(one, other)


def _within(x: Array) -> Iterator[Array]:
    """Squared distances of all pairs of different cells of x, each pair once, block by block."""
    blocks = list(_blocks(x))
    for i, one in enumerate(blocks):
        yield _squared(one, one)[np.tri(len(one), k=-1, dtype=bool)]
        for other in blocks[i + 1 :]:
            yield _squared(one, other).ravel()


def _blocks(x: Array) -> Iterator[Array]:
    for first in range(0, len(x), BLOCK):
        yield np.asarray(x[first : first + BLOCK], dtype=np.float64)


def _squared(x: Array, y: Array) -> Array:
    """Squared Euclidean distances by one matrix product."""
    centre = y.mean(axis=0)  # small numbers lose less to rounding
    x, y = x - centre, y - centre
    d2 = x @ y.T
    d2 *= -2
    d2 += np.square(x).sum(axis=1)[:, None]
    d2 += np.square(y).sum(axis=1)
    return np.maximum(d2, 0.0, out=d2)


def _means(blocks: Iterable[Array], *of: Callable[[Array], Array]) -> list[float]:
    """Mean over all pairs of cells of functions of their squared distance."""
    n, sums = 0, np.zeros(len(of))
    for d2 in blocks:
        n += d2.size
        sums += [values(d2).sum() for values in of]
    return (sums / n).tolist()


def _root(d2: Array) -> Array:
    return np.sqrt(d2)


def _kernel(d2: Array, sigma: float) -> Array:
    return np.exp(d2 * (-0.5 / sigma**2))


_SOURCES: dict[Quantity, tuple[Callable[..., float], str]] = {
    "e_distance": (e_distance, "Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018"),
    "mmd_rbf": (mmd_rbf, "Gretton et al. 2012, Journal of Machine Learning Research 13, 723–773"),
    "wasserstein": (wasserstein, OWN_DEFINITION),
}
_given = partial(np.asarray, dtype=np.float64)  # the distances, which were computed from single cells
_distance = partial(Metric, _given, family="distribution", best=0.0, higher_is_better=False)
METRICS = tuple(
    _distance(name=name, needs=(name,), source=source, summary=first_line(function))
    for name, (function, source) in _SOURCES.items()
)
