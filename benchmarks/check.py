"""`python -m benchmarks.check` is `cycseq-bench check`."""

from benchmarks.cli.app import run_as

run_as("check", __name__)
