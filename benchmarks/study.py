"""`python -m benchmarks.study` is `cycseq-bench study`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("study")
