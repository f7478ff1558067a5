"""`python -m benchmarks.collect` is `cycseq-bench collect`."""

from benchmarks.cli.app import run_as

run_as("collect", __name__)
