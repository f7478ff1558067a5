"""What every metric is: its function, its best value, its direction and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.errors import UnknownName
from benchmarks.metrics import change, copying, distribution, profile

Needs = Literal["profiles", "changes", "shared changes", "retrieval", "cells", "audit"]


@dataclass(frozen=True)
class Metric:
    """One column of the leaderboard.

    Parameters
    ----------
    name
        Column name.
    fn
        Pure function; what it gets is said by `needs`.
    best
        Value the oracle reaches (in expectation for `e_distance`); None where a metric only describes.
    higher_is_better
        Direction.
    needs
        "profiles": mean profiles (truth, predicted). "changes": δ and δ̂ with disjoint controls. "shared changes": the
        same with one control mean. "retrieval": δ and δ̂ of all test conditions of a context and fold, direction n2p.
        "cells": single cells on both sides. "audit": profiles of truth, prediction and input.
    scored
        Ranked on the leaderboard; otherwise only reported.
    source
        Where the definition comes from.
    """

    name: str
    fn: Callable
    best: float | None
    higher_is_better: bool
    needs: Needs
    scored: bool
    source: str

    @property
    def summary(self) -> str:
        """First line of the function's docstring: the metric's description in every report."""
        return (self.fn.__doc__ or "").strip().split("\n")[0]


def _sim(which: str, r2_variant: bool) -> Callable:
    names = {"tp": "target and output", "ip": "input and output", "it": "input and target"}
    fn = profile.r2 if r2_variant else profile.r2_pearson

    def similarity(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
        return fn(reference, other)

    kind = "coefficient of determination" if r2_variant else "squared Pearson correlation"
    similarity.__doc__ = f"Similarity of {names[which]}: {kind} of their mean profiles, the first as reference."
    return similarity


_TRIANGLE = "CycSeq (IJCAI 2025), Figure 3"
METRICS: tuple[Metric, ...] = (
    Metric("pearson_delta", change.pearson_delta, 1.0, True, "changes", True, "docs/decisions/metrics.md"),
    Metric("mse", profile.mse, 0.0, False, "profiles", True, "CycSeq (IJCAI 2025), Table 1"),
    Metric("mae", profile.mae, 0.0, False, "profiles", True, "CycSeq (IJCAI 2025), Table 1"),
    Metric("r2", profile.r2, 1.0, True, "profiles", True, "coefficient of determination"),
    Metric("r2_pearson", profile.r2_pearson, 1.0, True, "profiles", True, "CycSeq (IJCAI 2025), Table 1, as 'R²'"),
    Metric(
        "pds_cosine", change.pds_cosine, 1.0, True, "retrieval", True, "Virtual Cell Challenge 2025, cosine variant"
    ),
    Metric(
        "e_distance",
        distribution.e_distance,
        0.0,
        False,
        "cells",
        True,
        "Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018",
    ),
    Metric(
        "pearson_delta_shared",
        change.pearson_delta_shared,
        1.0,
        True,
        "shared changes",
        False,
        "as published evaluations compute it",
    ),
    Metric("copy_margin", copying.copy_margin, None, True, "audit", False, _TRIANGLE),
    Metric("copies_input", copying.copies_input, 0.0, False, "audit", False, _TRIANGLE),
    *(
        Metric(f"sim_{w}{'_r2' if v else ''}", _sim(w, v), 1.0 if w == "tp" else None, True, "audit", False, _TRIANGLE)
        for v in (False, True)
        for w in ("tp", "ip", "it")
    ),
)


def find_metric(name: str) -> Metric:
    """Look a metric up by name; raises `UnknownName`."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    raise UnknownName("metric", name, [m.name for m in METRICS])
