"""Names of the spaces that a data set may come in; apart, so that a model's own environment can import them."""

from __future__ import annotations

from typing import Literal

Space = Literal["counts", "ln", "log2", "zscore"]
"""Raw counts; natural-log or log2 values of normalised counts; z-scores."""
