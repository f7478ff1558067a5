"""What is predicted: suites, questions, conditions, protocols, splits, the leakage audit and batch correction."""
