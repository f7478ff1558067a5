"""How like the simulated data sets are to real cells: `python -m benchmarks.fidelity`."""
