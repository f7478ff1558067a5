"""How a question is answered: units of work, executors, environments, stores of predictions and results."""
