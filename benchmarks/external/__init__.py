"""Predictions and truth from anywhere: h5ad files of any tool, checked and scored like a run's own predictions."""

from benchmarks.external.files import Labels, read_cells
from benchmarks.external.score import Scored, Wish, score_files, write

__all__ = ["Labels", "Scored", "Wish", "read_cells", "score_files", "write"]
