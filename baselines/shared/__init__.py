"""What several predictors share; it is importable in an isolated model's environment too."""
