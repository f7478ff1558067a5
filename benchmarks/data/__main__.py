"""`python -m benchmarks.data` is `cycseq-bench data`."""

from benchmarks.cli.app import run_as

run_as("data", __name__)
