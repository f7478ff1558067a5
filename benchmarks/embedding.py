"""`python -m benchmarks.embedding` is `cycseq-bench embedding`."""

from benchmarks.cli.app import run_as

run_as("embedding", __name__)
