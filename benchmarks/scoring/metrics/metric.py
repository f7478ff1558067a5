"""What a metric is, and the quantities it may ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Family = Literal["profile", "change", "retrieval", "expression", "distribution", "audit"]
Quantity = Literal[
    # mean profiles [condition, gene] of truth t, prediction p, input i and reference r
    "truth",
    "predicted",
    "start",
    "reference",
    # changes [condition, gene]: t − r and p − i; with one control mean; less the training perturbations' mean effect
    "delta",
    "delta_hat",
    "delta_shared",
    "delta_hat_shared",
    "delta_centred",
    "delta_hat_centred",
    # tests against the reference cells [condition, gene]: the truth's, its k significant genes of largest |log2 FC|
    # (none where fewer are significant), and the prediction's
    "significant",
    "lfc",
    "top20",
    "top50",
    "top100",
    "significant_hat",
    "lfc_hat",
    "p_hat",
    # [condition] or, for combinations, [condition, k]: column of the perturbed gene, −1 where there is none
    "own_gene",
    # [condition]: lower bound of an honest copy margin
    "margin_bound",
    # [condition]: what the functions of `distribution` say of the cells
    "e_distance",
    "mmd_rbf",
    "wasserstein",
]


@dataclass(frozen=True)
class Metric:
    """One column of the leaderboard.

    Parameters
    ----------
    name
        Column name.
    family
        What it looks at; "retrieval" needs all conditions of a context at once.
    fn
        Pure function of the quantities in `needs`, in that order: arrays with one row a condition in, one float64 a
        condition out. NaN says that a condition has no such score.
    best
        Value the oracle reaches (in expectation for U-statistics); None where a metric only describes.
    higher_is_better
        Direction.
    needs
        Names of the quantities.
    scored
        Ranked on the leaderboard; otherwise only reported.
    source
        Where the definition comes from.
    undefined
        Status of a condition for which `fn` returns NaN; "" where it never does.

    Raises
    ------
    ValueError
        A quantity that does not exist.
    """

    name: str
    family: Family
    fn: Callable[..., np.ndarray]
    best: float | None
    higher_is_better: bool
    needs: tuple[Quantity, ...]
    scored: bool
    source: str
    undefined: str = ""

    def __post_init__(self) -> None:
        unknown = [q for q in self.needs if q not in get_args(Quantity)]
        if unknown or not self.needs:
            raise ValueError(f"Metric '{self.name}' needs {self.needs}; expected some of {get_args(Quantity)}.")

    @property
    def summary(self) -> str:
        """First line of the function's docstring: the metric's description in every report."""
        return first_line(self.fn)


def first_line(fn: Callable) -> str:
    """First line of a function's docstring."""
    return (fn.__doc__ or "").strip().split("\n")[0]
