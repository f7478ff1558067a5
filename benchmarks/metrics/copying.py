"""The input-copy audit ("triangular validation", the CycSeq paper's Figure 3): is the output nearer to target or input?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from benchmarks.metrics.profile import r2_pearson

Array = np.ndarray
HALVES = 200
"""Random halvings of the truth from which the interval of an honest margin is estimated."""


def copy_margin(
    truth: Float[Array, "condition gene"],
    predicted: Float[Array, "condition gene"],
    start: Float[Array, "condition gene"],
) -> Float[Array, "condition"]:
    """sim(target, output) − sim(input, output), sim being the squared Pearson correlation of mean profiles.

    Negative: the output is nearer to the input than to the target.
    """
    return r2_pearson(truth, predicted) - r2_pearson(start, predicted)


def copies_input(margin: Float[Array, "condition"], bound: Float[Array, "condition"]) -> Float[Array, "condition"]:
    """Flag, 1 where the copy margin lies below what real cells of the condition reach (95 % interval), else 0."""
    return (np.asarray(margin) < np.asarray(bound)).astype(np.float64)


def honest_margin(
    truth_cells: Float[Array, "cell gene"], start: Float[Array, "gene"], generator: np.random.Generator
) -> float:
    """Lower 95 % bound (2.5th percentile) of the copy margin that real cells of the condition reach.

    One half of the truth's cells plays the prediction, the disjoint other half the truth; a prediction is flagged as a
    copy only when its margin lies below this. A weak perturbation's own cells lie as near to the input as to the target.

    Parameters
    ----------
    truth_cells
        True cells, dense; at least two.
    start
        Mean profile of the input cells.
    """
    n = len(truth_cells)
    order = np.argsort(generator.random((HALVES, n)), axis=1)
    first = np.zeros((HALVES, n))
    np.put_along_axis(first, order[:, : n // 2], 1.0, axis=1)
    cells = np.asarray(truth_cells, dtype=np.float64)
    output = first @ cells / (n // 2)
    target = (1 - first) @ cells / (n - n // 2)
    inputs = np.broadcast_to(np.asarray(start, dtype=np.float64), output.shape)
    return float(np.quantile(copy_margin(target, output, inputs), 0.025))
