"""What the values of a matrix are (counts, logarithms to base e or 2, z-scores), found from the values themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.data.cards import Space
from benchmarks.data.schema import LARGEST_LOG
from benchmarks.errors import DataError

ASSUMED = "assumed"
"""How a reason begins where nothing in a file shows what its values are."""
SAMPLE = 500
"""Cells from which the space of a file is found."""
NEGATIVE_SHARE = 0.2
"""Share of negative values from which a file holds z-scores; a model's logarithms may dip below zero here and there."""
RATES = {"never logged": 0.0, "log2": math.log(2), "ln": 1.0, "log10": math.log(10)}
"""Rate c with which e^(c·value) − 1 gives back what was logged; 0 for values that were not."""
OTHER_RATES = np.geomspace(0.2, 5, 4600)
CELLS, DISTINCT = 100, 8
"""Cells, and smallest distinct values of each, that show the base of a logarithm."""
WHOLE = 0.05
"""Distance from a whole number up to which a ratio is one."""
MOST = 0.5
"""Share of cells that must agree on a base: in others no gene has a count of one."""
SAME, UNLIKE = 1e-4, 20
"""Relative spread of the cells' sums up to which they are the same, and how much larger it must be without bringing back."""
UNIT = 0.1
"""Largest distance from 1 of most genes' standard deviations in values that were scaled to it."""
HINT = "Give raw counts, or log1p of normalised counts (scanpy: sc.pp.log1p)."


def tell_space(matrix: Any, source: str, base: float | None = None) -> tuple[Space, str]:
    """Find what values are, and say why, from a sample of cells spread over them.

    Counts are whole. Logarithms to the right base give back, in each cell, whole multiples of the value of one count, and
    with all genes the same sum in every cell. Model outputs have neither; what the file notes decides, else e is assumed.

    Parameters
    ----------
    matrix
        [cell, gene], in memory or on disk; its rows are taken by increasing position.
    base
        Base of the logarithm as the file notes it (scanpy's `uns["log1p"]`); None where it notes none.

    Raises
    ------
    DataError
        No value, negative whole numbers, logarithms to another base than e and 2, taken twice or not at all, or values that
        were scaled to unit variance.
    """
    x = _sample(matrix, source)
    values = x.data
    whole, negative = np.array_equal(values, np.rint(values)), (values < 0).mean()
    if negative > NEGATIVE_SHARE:
        return "zscore", f"{negative:.0%} of the values are negative"
    if whole and negative:
        raise DataError(
            f"{source}: values are whole numbers from {values.min():g} to {values.max():g}; counts are not negative. "
            "Give raw counts, or state the space zscore."
        )
    if whole:
        return "counts", f"whole numbers{_doubt(values)}"
    if (
        np.median(x.max(axis=1).toarray()) >= LARGEST_LOG
    ):  # single cells that were not logged are found when they are read
        raise DataError(
            f"{source}: values are fractions of up to {values.max():.4g}: neither counts nor their logarithms. {HINT}"
        )
    if base is not None and not (math.isclose(base, math.e) or base == 2):
        raise DataError(f"{source} notes logarithms to base {base:g}; expected e or 2. {HINT}")
    noted = None if base is None else "log2" if base == 2 else "ln"
    found = _by_multiples(x) or _by_sums(x)
    if found:
        kind, why = found
        if kind not in ("ln", "log2"):
            raise DataError(f"{source}: values are {kind}: {why}. {HINT}")
        against = f", although the file notes {noted}" if noted not in (None, kind) else ""
        return ("log2" if kind == "log2" else "ln"), why + against
    if noted:
        return (
            "log2" if noted == "log2" else "ln"
        ), f"the file notes logarithms to base {2 if noted == 'log2' else 'e'}"
    if _scaled(x):
        raise DataError(
            f"{source}: the genes have standard deviation 1, as scaled values have. Give the values before scaling (see "
            "--layer), or state the space zscore."
        )
    return "ln", f"{ASSUMED}: fractions, taken as natural logarithms; nothing in the file says which"


def _sample(matrix: Any, source: str) -> sp.csr_matrix:
    """Take cells spread over a matrix, or where these are empty the first that are not; without values that are not finite."""
    n_cells = matrix.shape[0]
    spread = np.unique(np.linspace(0, max(n_cells - 1, 0), min(SAMPLE, n_cells)).astype(int))
    blocks = (np.arange(low, min(low + SAMPLE, n_cells)) for low in range(0, n_cells, SAMPLE))
    for rows in (spread, *blocks):
        x = sp.csr_matrix(matrix[rows], dtype=np.float64)
        x.data[~np.isfinite(x.data)] = 0
        x.eliminate_zeros()
        if x.nnz:
            return x[np.diff(x.indptr) > 0]
    raise DataError(f"{source}: {n_cells} cells × {matrix.shape[1]} genes, and no finite value other than zero.")


def _doubt(values: np.ndarray) -> str:
    """Say what whole numbers may be other than counts; empty for numbers that look like counts."""
    largest = int(values.max())
    sizes = np.bincount(np.minimum(values, 256).astype(int), minlength=2)
    if largest == 1:
        return " of 0 and 1 alone, as detected genes have; are these counts?"
    if largest <= 14 and sizes[1] < sizes.max():
        return f" up to {largest}, of which {sizes.argmax()} is the most frequent; were logarithms rounded?"
    if largest in (127, 255) and (values == largest).sum() > 1:
        return f", {int((values == largest).sum())} of them {largest} in a sample; were larger counts cut off?"
    return ""


def _by_multiples(x: sp.csr_matrix) -> tuple[str, str] | None:
    """Find the base with which the values of each cell are whole multiples of its smallest, once they are brought back."""
    smallest = []
    for row in x[np.linspace(0, x.shape[0] - 1, min(4 * CELLS, x.shape[0])).astype(int)]:
        values = np.unique(row.data[row.data > 0])
        values = values[np.append(True, np.diff(values) > 1e-3 * values[1:])]
        if len(values) >= DISTINCT:
            smallest.append(values[:DISTINCT])
    if len(smallest) < 5:
        return None
    chosen = np.array(smallest[:CELLS])
    why = "in each cell they are whole multiples of the smallest"
    fitting = [kind for kind, rate in RATES.items() if _fitting(chosen, rate) >= MOST]
    if len(fitting) > 1:  # values so small that every logarithm is nearly straight
        return None
    if fitting:
        kind = fitting[0]
        return kind, f"{why}{f' once {kind} is undone' if RATES[kind] else ''}"
    if _fitting(np.expm1(np.minimum(chosen, LARGEST_LOG)), 1.0) >= MOST:
        return "logged twice", f"{why} once ln is undone twice"
    rate = max(OTHER_RATES, key=lambda rate: _fitting(chosen, rate))
    if _fitting(chosen, rate) >= MOST:
        told = f"logarithms to base {math.exp(rate):.4g}, as natural ones multiplied by {1 / rate:.3g}"
        return told, f"{why} once they are undone"
    return None


def _fitting(values: np.ndarray, rate: float) -> float:
    """Share of cells [cell, value] whose values are different whole multiples of the first, once logarithms of a rate are undone.

    Values ascend and are different, so their multiples must be, too: values that lie close together are all about once the first.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        back = np.expm1(rate * values) if rate else values
        ratios = back / back[:, :1]
        whole = np.rint(ratios)
        fits = (np.abs(ratios - whole).max(axis=1) <= WHOLE) & (np.diff(whole, axis=1) >= 1).all(axis=1)
        return float(fits.mean())


def _by_sums(x: sp.csr_matrix) -> tuple[str, str] | None:
    """Find the base with which all cells have the same sum, once their values are brought back; none where cells are alike."""
    spread = {}
    for kind, rate in RATES.items():
        back = np.expm1(rate * np.clip(x.data, 0, LARGEST_LOG)) if rate else x.data
        sums = np.asarray(sp.csr_matrix((back, x.indices, x.indptr), shape=x.shape).sum(axis=1)).ravel()
        spread[kind] = float(sums.std() / sums.mean()) if sums.mean() > 0 else np.inf
    best, second = sorted(spread, key=lambda kind: spread[kind])[:2]
    if len(x.indptr) <= 3 or spread[best] > SAME or spread[second] < max(UNLIKE * spread[best], UNLIKE * SAME):
        return None
    return best, f"they have the same sum in every cell{f' once {best} is undone' if RATES[best] else ''}"


def _scaled(x: sp.csr_matrix) -> bool:
    """Whether most genes have standard deviation 1."""
    if x.shape[0] < 50:
        return False
    mean, square = (np.asarray(m.mean(axis=0)).ravel() for m in (x, x.multiply(x)))
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    spread = spread[spread > 0]
    return len(spread) >= 10 and bool(np.quantile(np.abs(spread - 1), 0.8) <= UNIT)
