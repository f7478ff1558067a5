"""`python -m benchmarks.site` is `cycseq-bench site`."""

from benchmarks.cli.app import run_as

run_as("site", __name__)
