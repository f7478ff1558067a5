"""`python -m benchmarks.environments` is `cycseq-bench environments`."""

from benchmarks.cli.app import run_as

run_as("environments", __name__)
