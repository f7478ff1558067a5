"""Leaderboards, pages and figures, made from result tables alone."""

from reports.results_folder import write_reports
from reports.stats.aggregate import leaderboard
from reports.tables import ReportError, load, read_leaderboard

__all__ = ["ReportError", "leaderboard", "load", "read_leaderboard", "write_reports"]
