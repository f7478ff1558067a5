"""`python -m benchmarks.study` is `cycseq-bench study`."""

from benchmarks.cli.app import run_as

run_as("study", __name__)
