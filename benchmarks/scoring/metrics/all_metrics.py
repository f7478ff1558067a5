"""All metrics of the leaderboard, found by listing this folder: every module's `METRICS`, in the order of every report."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from benchmarks.errors import UnknownName
from benchmarks.scoring.metrics.metric import Metric

FIRST = ("change", "profile", "retrieval", "differential", "distribution", "change_variants", "copying")
"""Modules whose metrics come first, in this order; those of other modules follow, by the module's name."""
WITHOUT_METRICS = ("all_metrics", "compiled", "metric", "rank_sum")


def _found() -> tuple[Metric, ...]:
    names = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    others = sorted(names.difference(FIRST, WITHOUT_METRICS))
    modules = [import_module(f"benchmarks.scoring.metrics.{name}") for name in (*FIRST, *others)]
    return tuple(metric for module in modules for metric in module.METRICS)


METRICS = _found()


def find_metric(name: str) -> Metric:
    """Return a metric by name; raises `UnknownName`."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    raise UnknownName("metric", name, [m.name for m in METRICS])
