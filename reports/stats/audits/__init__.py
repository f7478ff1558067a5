"""Audits of a suite: effects of leakage, direction and integration on its scores."""
