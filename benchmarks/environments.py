"""`python -m benchmarks.environments` is `cycseq-bench environments`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("environments")
