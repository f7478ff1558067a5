"""What a metric is, and the quantities it may need."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float

Array = np.ndarray
PerGene = Float[Array, "condition gene"]
GeneMask = Bool[Array, "condition gene"]
PerCondition = Float[Array, "condition"]
Family = Literal["profile", "change", "retrieval", "expression", "distribution", "audit"]
Profile = Literal["truth", "predicted", "start", "reference"]
"""Mean profiles [condition, gene] of truth t, prediction p, input i and reference r."""
Change = Literal["delta", "delta_hat", "delta_shared", "delta_hat_shared", "delta_centred", "delta_hat_centred"]
"""[condition, gene]: t − r and p − i; with one control mean on both sides; less the training perturbations' mean effect, of
which each side has an estimate of its own."""
GeneTest = Literal["significant", "lfc", "top20", "top50", "top100", "significant_hat", "lfc_hat", "p_hat"]
"""Tests against the reference cells [condition, gene]: the truth's, its k significant genes of largest |log2 FC| (none where
fewer are significant), and the prediction's."""
Names = Literal["other_genes"]
"""Genes other than the condition's perturbed ones [condition, gene]; tests leave the perturbed ones out too."""
OfCondition = Literal["own_gene", "margin_bound", "e_distance", "mmd_rbf", "wasserstein"]
"""Column of the perturbed gene, −1 where there is none ([condition, k] for combinations); lower bound of the copy margin of
real cells; distances between the cells, from the functions of `distribution` [condition]."""
Quantity = Literal[Profile, Change, GeneTest, Names, OfCondition]
PAIR: tuple[Quantity, Quantity] = ("truth", "predicted")
CHANGE: tuple[Quantity, Quantity] = ("delta", "delta_hat")
OWN_DEFINITION = "docs/decisions/metrics.md"


class Floor(NamedTuple):
    """Smallest change of a metric worth a failed build (`benchmarks.regression`)."""

    size: float
    relative: bool = False
    """Whether `size` is a share of the reference's value; otherwise it is in the metric's unit."""


FAMILY_FLOORS: Mapping[str, Floor] = {
    "profile": Floor(0.05, relative=True),
    "change": Floor(0.03),
    "retrieval": Floor(0.05),
    "expression": Floor(0.05),
    "distribution": Floor(0.10, relative=True),
    "audit": Floor(0.05),
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One column of the leaderboard; raises `ValueError` for a quantity that does not exist."""

    function: Callable[..., np.ndarray] = field(kw_only=False)
    """Pure function of the quantities in `needs`, in that order: arrays with one row a condition in, one float64 a condition
    out. NaN marks a condition that has no such score."""
    name: str = ""
    """Column name; default: the function's."""
    needs: tuple[Quantity, ...] = ()
    """Default: the names of the function's parameters."""
    family: Family
    """What it compares; "retrieval" needs all conditions of a context at once."""
    best: float | None
    """Value the oracle reaches (in expectation for U-statistics); None where a metric only describes."""
    higher_is_better: bool = True
    scored: bool = True
    """Whether it is ranked on the leaderboard; otherwise it is only reported."""
    source: str = OWN_DEFINITION
    """Where the definition comes from."""
    undefined: str = ""
    """Status of a condition for which `function` returns NaN; "" where it never does."""
    summary: str = ""
    """One line that describes it in every report; default: the first line of the function's docstring."""
    floor: Floor | None = None
    """Smallest change worth a failed build; None: that of the family."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.function.__name__)
        object.__setattr__(self, "needs", self.needs or tuple(inspect.signature(self.function).parameters))
        object.__setattr__(self, "summary", self.summary or first_line(self.function))
        if not set(self.needs) <= set(get_args(Quantity)):
            raise ValueError(f"Metric '{self.name}' needs {self.needs}; expected some of {get_args(Quantity)}.")


def first_line(function: Callable) -> str:
    """First line of a function's docstring."""
    return (function.__doc__ or "").strip().split("\n")[0]
