"""`python -m benchmarks.embedding` is `cycseq-bench embedding`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("embedding")
