"""Where a score lies between the baseline and the ceiling, and whether the metric separates those two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reports.formatting import interval
from reports.stats.bootstrap import context_sizes, mean_intervals, mean_over_contexts
from reports.stats.score_matrix import ScoreMatrix

CEILING = "ceiling"
_BASELINES = {"p2n": "train_control"}


def baseline_of(direction: str) -> str:
    """Name the baseline that `scaled` is measured from: train_control for p2n, train_mean otherwise."""
    return _BASELINES.get(direction, "train_mean")


@dataclass(frozen=True)
class Calibration:
    """Ceiling and baseline of one metric over the same conditions."""

    baseline: str
    baseline_mean: float
    ceiling_mean: float
    gain: float
    """How much better the ceiling is, in the metric's unit; negative where it is worse."""
    low: float
    high: float
    """Ends of the gain's 95 % interval (paired hierarchical bootstrap); NaN for a single condition."""
    share: float
    """Share of the conditions on which the ceiling is better."""
    rows: np.ndarray
    """[condition]: where both have a value."""

    @property
    def informative(self) -> bool:
        """Whether the ceiling is better than the baseline by more than the bootstrap error."""
        return bool(self.low > 0)

    @property
    def reason(self) -> str:
        """Say why the metric is uninformative here."""
        values = f"ceiling {self.ceiling_mean:.4g}, {self.baseline} {self.baseline_mean:.4g}"
        error = interval(self.low, self.high, 4) or ", no interval from one condition"
        return f"the ceiling is not better than the baseline beyond error ({values}; better by {self.gain:.4g}{error})"


def calibrate(matrix: ScoreMatrix, *, n_boot: int, seed: int) -> Calibration | None:
    """Compare the ceiling with the task's baseline, over the conditions on which both have a value.

    Parameters
    ----------
    matrix
        A whole task, or the rows of one context.
    n_boot, seed
        Draws and seed of the paired bootstrap.

    Returns
    -------
    Calibration or None
        None where there is no ceiling, no baseline, or no condition with both.

    Source
    ------
    METRICS.md, "Calibration".
    """
    name = baseline_of(matrix.task[-1])
    ceiling, baseline = matrix.column(CEILING), matrix.column(name)
    if ceiling is None or baseline is None or not matrix.ranked[baseline]:
        return None
    rows = matrix.kept[:, ceiling] & matrix.kept[:, baseline]
    if not rows.any():
        return None
    pair = matrix.value[rows][:, [baseline, ceiling]]
    gain = matrix.sign * (pair[:, 1] - pair[:, 0])
    values = np.column_stack([pair, gain])
    means, low, high = mean_intervals(values, matrix.contexts[rows], n_boot=n_boot, seed=seed)
    baseline_mean, ceiling_mean, better = means.tolist()
    share = float((gain > 0).mean())
    return Calibration(name, baseline_mean, ceiling_mean, better, float(low[2]), float(high[2]), share, rows)


def scale(matrix: ScoreMatrix, column: int, calibration: Calibration) -> float:
    """Return (mean − baseline) / (ceiling − baseline) of one model, over the conditions on which all three have a value.

    Returns
    -------
    float
        0 at the baseline, 1 at the ceiling, not clipped; NaN where no such condition is there or the two are equal.
    """
    rows = calibration.rows & matrix.kept[:, column] & np.isfinite(matrix.value[:, column])
    if not rows.any():
        return np.nan
    places = [column, matrix.models.index(calibration.baseline), matrix.models.index(CEILING)]
    mean, baseline, ceiling = mean_over_contexts(matrix.value[rows][:, places], context_sizes(matrix.contexts[rows]))
    # + 0.0: no minus before the baseline's zero
    return float((mean - baseline) / (ceiling - baseline)) + 0.0 if ceiling != baseline else np.nan
