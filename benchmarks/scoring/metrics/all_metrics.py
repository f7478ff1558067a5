"""All metrics of the leaderboard, found by listing this folder: every module's `METRICS`, in the order of every report."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from benchmarks.errors import UnknownName
from benchmarks.scoring import metrics
from benchmarks.scoring.metrics.metric import Metric

FIRST = ("change", "profile", "retrieval", "differential", "distribution", "change_variants", "copying")
"""Modules whose metrics come first, in this order; those of other modules follow, by the module's name."""
WITHOUT_METRICS = ("all_metrics", "compiled", "metric", "rank_sum")


def list_metrics() -> tuple[Metric, ...]:
    """Import every module of the folder and collect its metrics."""
    others = sorted({module.name for module in iter_modules(metrics.__path__)}.difference(FIRST, WITHOUT_METRICS))
    modules = [import_module(f"{metrics.__name__}.{name}") for name in (*FIRST, *others)]
    return tuple(metric for module in modules for metric in module.METRICS)


METRICS = list_metrics()


def metric_rows() -> list[dict[str, Any]]:
    """List all metrics as rows of metrics.csv."""
    columns = ("family", "best", "higher_is_better", "scored", "undefined", "summary", "source")
    return [{"metric": m.name} | {column: getattr(m, column) for column in columns} for m in METRICS]


def find_metric(name: str) -> Metric:
    """Return a metric by name; raises `UnknownName`."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    raise UnknownName("metric", name, [m.name for m in METRICS])
