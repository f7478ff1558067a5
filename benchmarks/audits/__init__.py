"""Audits of a suite: `python -m benchmarks.audits --suite S --out DIR` asks what leakage, direction and integration do to it."""
