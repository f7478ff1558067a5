"""Metrics: pure functions on arrays, and one tuple that says what each is and needs (see docs/decisions/metrics.md)."""

from benchmarks.metrics.metric import Metric
from benchmarks.metrics.registry import METRICS, find_metric

__all__ = ["METRICS", "Metric", "find_metric"]
