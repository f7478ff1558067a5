"""`python -m benchmarks.audits` is `cycseq-bench audits`."""

from benchmarks.cli.app import run_as

run_as("audits", __name__)
