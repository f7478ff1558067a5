"""The checks that every predictor passes: the contract, and the capabilities its record states."""
