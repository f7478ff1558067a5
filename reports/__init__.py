"""Leaderboards, pages and figures, made from result tables alone."""

from reports.stats.aggregate import leaderboard
from reports.tables import ReportError, load, read_leaderboard
from reports.write import write_reports

__all__ = ["ReportError", "leaderboard", "load", "read_leaderboard", "write_reports"]
