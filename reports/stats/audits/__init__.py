"""Audits of a suite as tables, figures and a page: what leakage, direction and integration do to its scores."""
