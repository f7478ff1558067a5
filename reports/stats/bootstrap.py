"""Means over conditions within contexts, then over contexts, and their hierarchical bootstrap."""

from functools import lru_cache

import numpy as np

INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap draws between which the 95 % interval lies."""


def mean_weights(sizes: tuple[int, ...]) -> np.ndarray:
    """Return the weight [condition] of each condition in the mean over contexts of means over conditions.

    `sizes` are the numbers of conditions of the contexts, `context_sizes`; conditions are in the order of their contexts.
    """
    return np.repeat(1.0 / (len(sizes) * np.asarray(sizes, dtype=float)), sizes)


def mean_over_contexts(values: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the mean [column] of scores [condition, column]; columns that are equal get equal means, to the last bit."""
    return (mean_weights(sizes)[:, None] * values).sum(axis=0)


@lru_cache(maxsize=8)
def draw_weights(sizes: tuple[int, ...], n_boot: int, seed: int) -> np.ndarray:
    """Return weights [draw, condition] of the mean when contexts, then conditions within each of them, are resampled.

    A context drawn m times is resampled m times on its own, so the counts of its n conditions are multinomial with
    m · n trials. The draws depend on the sizes and the seed alone: all models get the same ones, so differences are
    paired, and one more model changes no interval of another. The array is read-only; each row sums to 1.
    """
    rng = np.random.default_rng(seed)
    n_contexts = len(sizes)
    times = rng.multinomial(n_contexts, np.full(n_contexts, 1.0 / n_contexts), size=n_boot)
    counts = [rng.multinomial(m * size, np.full(size, 1.0 / size)) for m, size in zip(times.T, sizes, strict=True)]
    weights = np.concatenate(counts, axis=1) * mean_weights(sizes)
    weights.flags.writeable = False
    return weights


def draw_means(values: np.ndarray, sizes: tuple[int, ...], *, n_boot: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the means [column] of scores, and their bootstrap draws [draw, column]: the same draws for every column.

    `values` are scores [condition, column], conditions in the order of their contexts, all finite. With one context,
    conditions alone are resampled; the draws of a single condition are NaN: it has no interval.

    Source
    ------
    docs/decisions/metrics.md, "Aggregation".
    """
    means = mean_over_contexts(values, sizes)
    if len(values) == 1:
        return means, np.full((n_boot, values.shape[1]), np.nan)
    return means, draw_weights(sizes, n_boot, seed) @ values


def interval_of(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two ends [column] of the 95 % interval of bootstrap draws [draw, column]."""
    low, high = np.percentile(draws, INTERVAL, axis=0)
    return low, high


def mean_intervals(
    values: np.ndarray, contexts: np.ndarray, *, n_boot: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and ends of the 95 % intervals [column] of scores [condition, column]; `contexts` [condition], sorted."""
    means, draws = draw_means(values, context_sizes(contexts), n_boot=n_boot, seed=seed)
    return means, *interval_of(draws)


def summarise(values: np.ndarray, sizes: tuple[int, ...], *, n_boot: int, seed: int) -> tuple[float, float, float]:
    """Return the mean of one score per condition [condition] and the ends of its 95 % interval, as `draw_means`."""
    means, draws = draw_means(values[:, None], sizes, n_boot=n_boot, seed=seed)
    low, high = interval_of(draws)
    return float(means[0]), float(low[0]), float(high[0])


def context_sizes(contexts: np.ndarray) -> tuple[int, ...]:
    """Count the conditions of each context; `contexts` [condition] names them, those of one context side by side."""
    ends = np.flatnonzero(np.append(contexts[1:] != contexts[:-1], True)) + 1 if len(contexts) else np.empty(0, int)
    return tuple(np.diff(ends, prepend=0).tolist())
