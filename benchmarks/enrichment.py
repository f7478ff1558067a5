"""`python -m benchmarks.enrichment` is `cycseq-bench enrichment`."""

from benchmarks.cli.app import run_as

run_as("enrichment", __name__)
