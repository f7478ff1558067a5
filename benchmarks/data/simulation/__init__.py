"""The generative models of the simulated data sets; see each `datasets/<name>_simulated/README.md`."""
