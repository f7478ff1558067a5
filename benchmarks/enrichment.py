"""`python -m benchmarks.enrichment` is `cycseq-bench enrichment`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("enrichment")
