"""Audits of a suite as tables, figures and a page: what leakage, direction and integration do to its scores."""

from reports.audits.direction import judge_directions, rate_metrics
from reports.audits.integration import compare_integrations
from reports.audits.page import write_audits
from reports.audits.protocols import compare_protocols

__all__ = ["compare_integrations", "compare_protocols", "judge_directions", "rate_metrics", "write_audits"]
