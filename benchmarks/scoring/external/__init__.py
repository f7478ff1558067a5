"""Predictions and truth in h5ad files of any tool, checked and scored like a run's own predictions."""
