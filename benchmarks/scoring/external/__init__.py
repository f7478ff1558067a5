"""Predictions and truth from anywhere: h5ad files of any tool, checked and scored like a run's own predictions."""
