"""`python -m benchmarks.regress` is `cycseq-bench regress`."""

from benchmarks.cli.app import run_as

run_as("regress", __name__)
