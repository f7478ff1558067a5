"""`python -m benchmarks.verify` is `cycseq-bench verify`."""

from benchmarks.cli.app import run_as

run_as("verify", __name__)
