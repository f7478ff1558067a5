"""`python -m benchmarks.score` is `cycseq-bench score`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("score")
