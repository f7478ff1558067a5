"""The regression gate: compare a run with a reference and fail a build where a model got worse."""
