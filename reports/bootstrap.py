"""Means over conditions within contexts, then over contexts, and their hierarchical bootstrap."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap draws between which the 95 % interval lies."""


def mean_weights(sizes: tuple[int, ...]) -> np.ndarray:
    """Return the weight of each condition in the mean over contexts of means over conditions.

    Parameters
    ----------
    sizes
        Number of conditions of each context; conditions are in the order of their contexts.

    Returns
    -------
    ndarray [condition]
        Weights that sum to 1.
    """
    return np.repeat(1.0 / (len(sizes) * np.asarray(sizes, dtype=float)), sizes)


@lru_cache(maxsize=8)
def draw_weights(sizes: tuple[int, ...], n_boot: int, seed: int) -> np.ndarray:
    """Return the weights of `mean_weights` under resampling of contexts, then of conditions within each drawn context.

    A context drawn m times is resampled m times on its own, so the counts of its n conditions are multinomial with
    m · n trials. The draws depend on the sizes and the seed alone: all models get the same ones, so differences are
    paired, and one more model moves nobody's interval.

    Parameters
    ----------
    sizes
        Number of conditions of each context.
    n_boot
        Number of draws.
    seed
        Seed of the generator.

    Returns
    -------
    ndarray [draw, condition]
        Read-only; each row sums to 1.
    """
    rng = np.random.default_rng(seed)
    n_contexts = len(sizes)
    times = rng.multinomial(n_contexts, np.full(n_contexts, 1.0 / n_contexts), size=n_boot)
    counts = [rng.multinomial(m * size, np.full(size, 1.0 / size)) for m, size in zip(times.T, sizes, strict=True)]
    weights = np.concatenate(counts, axis=1) * mean_weights(sizes)
    weights.flags.writeable = False
    return weights


def summarise(values: np.ndarray, sizes: tuple[int, ...], *, n_boot: int, seed: int) -> tuple[float, float, float]:
    """Return the mean of one score per condition and the ends of its 95 % interval.

    Parameters
    ----------
    values
        Scores [condition], in the order of their contexts, all finite.
    sizes
        Number of conditions of each context; with one context, conditions alone are resampled. A single condition
        has no interval: its ends are NaN.
    n_boot, seed
        As for `draw_weights`.

    Source
    ------
    METRICS.md, "Aggregation".
    """
    mean = float(mean_weights(sizes) @ values)
    if len(values) == 1:
        return mean, np.nan, np.nan
    low, high = np.percentile(draw_weights(sizes, n_boot, seed) @ values, INTERVAL)
    return mean, float(low), float(high)
