"""`python -m benchmarks.merge` is `cycseq-bench merge`."""

from benchmarks.cli.app import run_as

run_as("merge", __name__)
