"""Figures, drawn from result tables."""
