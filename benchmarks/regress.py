"""`python -m benchmarks.regress` is `cycseq-bench regress`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("regress")
