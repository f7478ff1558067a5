"""Metrics: pure functions on arrays, and one tuple that says what each is and needs (see docs/decisions/metrics.md)."""

from benchmarks.scoring.metrics.metric import Metric
from benchmarks.scoring.metrics.metric_list import METRICS, find_metric

__all__ = ["METRICS", "Metric", "find_metric"]
