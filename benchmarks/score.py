"""`python -m benchmarks.score` is `cycseq-bench score`."""

from benchmarks.cli.app import run_as

run_as("score", __name__)
