"""What a run asks: suites, the question, conditions, protocols, splits, the leakage audit."""
