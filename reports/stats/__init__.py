"""Statistics of the result tables."""
