"""Models in Python environments of their own: how these are made, and how the harness talks to a model in one.

`venvs` makes them, `proxy` is the predictor that the harness sees, `serve` is the process inside, `exchange` the
files between them. `serve` and `exchange` run in the other environment too: they import nothing it may lack.
"""
