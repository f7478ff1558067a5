"""Metrics: pure functions on arrays, one file a family, each ending in a tuple `METRICS` (docs/decisions/metrics.md)."""
