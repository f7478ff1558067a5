"""`python -m benchmarks.run` is `cycseq-bench run`."""

from benchmarks.cli.app import run_as

run_as("run", __name__)
